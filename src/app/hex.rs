//! Hexadecimal digits.

/// Two digits for each byte.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).map_or('?', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that digits stand for, if there is an even number of them.
pub(super) fn decode(digits: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|value| value as u8);
    digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "not an even number of hexadecimal digits".into())
}
