//! Which bytes of a certificate its signature is for.

/// The tags of DER (X.690) that stand on the way.
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// A certificate taken apart as far as its signature goes (RFC 5280, section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SignedCertificate<'a> {
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: &'a [u8],
}

impl<'a> SignedCertificate<'a> {
    /// None if it is no certificate.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let (certificate, []) = Element::parse(der, SEQUENCE)? else { return None };
        let (signed, rest) = Element::parse(certificate.content, SEQUENCE)?;
        let (_algorithm, rest) = Element::parse(rest, SEQUENCE)?;
        let (signature, []) = Element::parse(rest, BIT_STRING)? else { return None };
        // The first byte says how many bits of the last one do not count.
        let signature = signature.content.strip_prefix(&[0])?;
        Some(Self { signed: signed.whole, signature })
    }
}

/// One element of DER.
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element, if it has this tag, and what stands behind it.
    fn parse(der: &'a [u8], tag: u8) -> Option<(Self, &'a [u8])> {
        let (header_len, len) = match *der.strip_prefix(&[tag])? {
            [len @ 0..=0x7f, ..] => (2, usize::from(len)),
            [0x81, len, ..] => (3, usize::from(len)),
            [0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return None,
        };
        let (whole, rest) = der.split_at_checked(header_len + len)?;
        Some((Self { whole, content: whole.get(header_len..)? }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element with this content.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let len = match content.len() {
            0..0x80 => vec![low],
            0x80..0x100 => vec![0x81, low],
            _ => vec![0x82, high, low],
        };
        [&[tag][..], &len, content].concat()
    }

    #[test]
    fn the_parts_of_a_certificate_are_found_whatever_their_lengths_are() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 5000] {
            let signed = element(SEQUENCE, &vec![7; len]);
            let rest = [element(SEQUENCE, &[1, 2]), element(BIT_STRING, &[0, 8, 9])].concat();
            let der = element(SEQUENCE, &[&signed[..], &rest].concat());
            let expected = SignedCertificate { signed: &signed, signature: &[8, 9] };
            assert_eq!(SignedCertificate::parse(&der), Some(expected), "{len}");
        }
    }

    #[test]
    fn what_is_cut_longer_or_something_else_is_no_certificate() {
        let signature = |first| element(BIT_STRING, &[first, 8, 9]);
        let parts = |signature: &[u8]| [&[0x30, 1, 7, 0x30, 0][..], signature].concat();
        let good = element(SEQUENCE, &parts(&signature(0)));
        assert!(SignedCertificate::parse(&good).is_some());
        for len in 0..good.len() {
            assert_eq!(SignedCertificate::parse(&good[..len]), None, "{len}");
        }
        for bad in [
            [&good[..], &[0]].concat(),
            element(0x31, &parts(&signature(0))),
            element(SEQUENCE, &parts(&signature(1))),
            element(SEQUENCE, &parts(&element(0x04, &[0, 8]))),
            element(SEQUENCE, &parts(&[&signature(0)[..], &[0]].concat())),
            vec![0x30, 0x80, 0, 0],
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(SignedCertificate::parse(&bad), None, "{bad:?}");
        }
    }
}
