//! What a version-1 peer has asked and waits for.

use core::time::Duration;

use super::network::Network;
use crate::connection::ConnectionId;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::MessageType;

/// For how long a version-1 node waits for an answer: the timeout of its sync.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it must have asked nothing before it counts as one that does not ask at this moment: an
/// answer and the question that it leads to take one round trip.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// The questions of a version-1 peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Questions {
    last: Option<Time>,
    unanswered: u16,
}

impl Questions {
    fn asked(&mut self, now: Time) {
        // Who waited for so long waits no more.
        if self.last.is_none_or(|last| last + ANSWER_TIMEOUT <= now) {
            self.unanswered = 0;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.last = Some(now);
    }

    /// Something was sent to the peer alone.
    pub(super) fn answered(&mut self, message_type: MessageType) {
        let is_answer = matches!(
            message_type,
            MessageType::HEADERS | MessageType::BLOCK | MessageType::PEERS | MessageType::TRANSACTION
        );
        if is_answer {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    fn may_wait(&self, now: Time) -> bool {
        let time = if self.unanswered > 0 { ANSWER_TIMEOUT } else { QUIET_TIME };
        self.last.is_some_and(|last| last + time > now)
    }
}

impl Network {
    /// A frame has come from an established peer.
    pub(super) fn note_question(&mut self, id: ConnectionId, message_type: MessageType) {
        let is_question = matches!(
            message_type,
            MessageType::GET_PEERS
                | MessageType::GET_HEADERS
                | MessageType::GET_BLOCK
                | MessageType::TX_POOL_REQUEST
        );
        if is_question && let Some(connection) = self.table.get_mut(id) {
            connection.questions.asked(self.now.time);
        }
    }

    pub(crate) fn may_wait_for_answer(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.table.get(id) else { return false };
        // What waits here has not reached it, and what is more urgent would overtake it.
        connection.peer().is_some_and(Peer::is_version_1)
            && (connection.questions.may_wait(self.now.time) || !connection.queues.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_peer_waits_until_all_its_questions_are_answered_and_it_asks_no_more() {
        let mut questions = Questions::default();
        assert!(!questions.may_wait(at(0)));
        questions.asked(at(0));
        questions.asked(at(1));
        questions.answered(MessageType::HEADERS);
        assert!(questions.may_wait(at(10)));
        questions.answered(MessageType::PING);
        assert!(questions.may_wait(at(30)));
        questions.answered(MessageType::BLOCK);
        assert!(questions.may_wait(at(2)) && !questions.may_wait(at(3)));
    }

    #[test]
    fn what_is_never_answered_is_waited_for_as_long_as_version_1_waits() {
        let mut questions = Questions::default();
        questions.asked(at(0));
        assert!(questions.may_wait(at(29)) && !questions.may_wait(at(30)));
        questions.asked(at(40));
        questions.answered(MessageType::BLOCK);
        assert!(!questions.may_wait(at(42)), "the question before is forgotten");
    }
}
