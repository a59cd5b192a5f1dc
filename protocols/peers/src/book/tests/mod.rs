//! The book against a naive model, against attackers, and on bad input.
