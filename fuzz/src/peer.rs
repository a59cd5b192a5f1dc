//! A peer by script: what it is asked, and what it makes of it.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use spacetime_core::wire::{self, Decode as _, Frame, GetBlock, GetHeaders, Headers, Message, MessageType};

use super::chain::{Chain, HEIGHT};
use super::frames::frames;

/// Questions that a peer remembers.
const MAX_QUESTIONS: usize = 64;

/// Something that the node has asked.
#[derive(Clone, Copy, Debug)]
enum Question {
    Headers(GetHeaders),
    Block(GetBlock),
    Ping(wire::Ping),
}

/// How a question is answered.
#[derive(Clone, Copy, Arbitrary, Debug)]
pub(super) enum Answer {
    /// As it should be.
    Right,
    /// Not at all, and it is forgotten.
    Never,
    /// By a list without headers, whatever was asked.
    Empty,
    /// With something from another height.
    Shifted(i8),
    /// With fewer or more headers than there should be; a block cut short or with bytes behind it.
    Resized(i8),
    /// With a bit turned over.
    Flipped { at: u16, bit: u8 },
    /// Twice.
    Twice,
}

/// A peer that has one of the chains up to a height.
#[derive(Debug)]
pub(super) struct Peer {
    chain: &'static Chain,
    height: usize,
    questions: VecDeque<Question>,
}

impl Peer {
    pub(super) fn new(chain: &'static Chain, height: usize) -> Self {
        Self { chain, height: height.min(HEIGHT), questions: VecDeque::new() }
    }

    /// Hears what the node has sent.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for (message_type, payload) in frames(bytes) {
            let question = match message_type {
                MessageType::GET_HEADERS => GetHeaders::decode(payload).map(Question::Headers),
                MessageType::GET_BLOCK => GetBlock::decode(payload).map(Question::Block),
                MessageType::PING => wire::Ping::decode(payload).map(Question::Ping),
                _ => continue,
            };
            self.questions.push_back(question.expect("what the node sends was checked"));
            if self.questions.len() > MAX_QUESTIONS {
                self.questions.pop_front();
            }
        }
    }

    /// The frames that answer one of the questions; none if there is no question.
    pub(super) fn answer(&mut self, which: usize, how: Answer) -> Option<Vec<u8>> {
        let which = which % self.questions.len().max(1);
        let question = self.questions.remove(which)?;
        let mut bytes = match (question, how) {
            (_, Answer::Never) => Vec::new(),
            (_, Answer::Empty) => encode(&Headers::new(&[])),
            (Question::Headers(question), how) => self.headers(question, how),
            (Question::Block(question), how) => self.block(question, how),
            (Question::Ping(wire::Ping { nonce, timestamp }), _) => encode(&wire::Pong { nonce, timestamp }),
        };
        match how {
            Answer::Flipped { at, bit } => {
                // Not the length and the type: this is about answers, not about frames.
                let at = wire::FRAME_HEADER + usize::from(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Answer::Twice => bytes.extend_from_within(..),
            _ => {}
        }
        Some(bytes)
    }

    fn headers(&self, question: GetHeaders, how: Answer) -> Vec<u8> {
        let max = usize::try_from(question.max_headers).unwrap_or(1);
        let mut headers = self.chain.headers_after(question.locator, question.stop, max, self.height);
        match how {
            Answer::Shifted(by) => {
                let first = self.chain.height_of(question.locator).unwrap_or(0);
                let first = first.saturating_add_signed(1 + isize::from(by));
                headers = (first..=self.height).take(max).map(|height| self.chain.header(height)).collect();
            }
            Answer::Resized(by) => {
                let count = headers.len().saturating_add_signed(by.into());
                let last = headers.last().copied().unwrap_or(self.chain.header(self.height));
                headers.resize(count, last);
            }
            _ => {}
        }
        encode(&Headers::new(&headers))
    }

    fn block(&self, GetBlock { hash }: GetBlock, how: Answer) -> Vec<u8> {
        let Some(height) = self.chain.height_of(hash).filter(|height| *height <= self.height) else {
            return Vec::new();
        };
        let mut bytes = self.chain.block(height).to_vec();
        match how {
            Answer::Shifted(by) => {
                let height = height.saturating_add_signed(by.into()).min(self.height);
                bytes = self.chain.block(height).to_vec();
            }
            Answer::Resized(by) => bytes.resize(bytes.len().saturating_add_signed(by.into()), 0),
            _ => {}
        }
        encode(&wire::Block { bytes: &bytes })
    }
}

/// The frame of a message that is known to be valid.
pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    Frame::encode(message).expect("a valid message").bytes().to_vec()
}
