//! A key as its owner holds it: `stemedb_<id>_<secret and checksum>`.
//!
//! ```text
//! stemedb_ 0123456789ab _ <64 hexadecimal digits: 256 random bits> <8: checksum>
//! ```
//!
//! The checksum tells a key that was cut or mistyped from one that is unknown, also to programs that look for leaked keys.

use std::fmt;

use stemedb_env::Env;

use super::KeysError;
use crate::backup::Hex;

const PREFIX: &str = "stemedb_";
const CHECK_CONTEXT: &str = "stemedb 2026-11 api key checksum";
const HASH_CONTEXT: &str = "stemedb 2026-11 api key stored hash";

/// The public part of a key: what lists, logs and the audit call it by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 6]);

impl KeyId {
    /// Reads exactly twelve lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<KeyId> {
        Hex::parse(text).map(|hex| KeyId(hex.0))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(self.0), f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A whole key. Its [`fmt::Debug`] does not tell the secret; [`Token::reveal`] does.
#[derive(Clone)]
pub struct Token {
    id: KeyId,
    secret: [u8; 32],
}

impl Token {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeysError::Randomness`].
    pub fn make(env: &Env) -> Result<Token, KeysError> {
        let (mut id, mut secret) = ([0; 6], [0; 32]);
        env.random.fill_secret(&mut id).map_err(KeysError::Randomness)?;
        env.random.fill_secret(&mut secret).map_err(KeysError::Randomness)?;
        Ok(Token { id: KeyId(id), secret })
    }

    /// Reads a key; `None` where it is not of the form or its checksum does not fit.
    pub fn parse(text: &str) -> Option<Token> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (secret, check) = rest.split_at_checked(64)?;
        let token = Token { id: KeyId::parse(id)?, secret: Hex::parse(secret)?.0 };
        (Hex::parse(check)? == Hex(token.checksum())).then_some(token)
    }

    /// The key's public part.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The text that the owner presents. It cannot be had again.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}{}", self.id, Hex(self.secret), Hex(self.checksum()))
    }

    /// What is stored of the secret. The secret has 256 random bits, so that nothing slower than a hash is needed to keep it
    /// from being guessed.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(&self.id.0).update(&self.secret);
        hasher.finalize()
    }

    fn checksum(&self) -> [u8; 4] {
        let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
        hasher.update(&self.id.0).update(&self.secret);
        let mut check = [0; 4];
        hasher.finalize_xof().fill(&mut check);
        check
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({PREFIX}{}_…)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_no_changed_digit_is_overlooked() {
        let (env, _) = Env::sim(1);
        let token = Token::make(&env).unwrap();
        let text = token.reveal();
        assert_eq!(text.len(), 93);
        assert_eq!(Token::parse(&text).unwrap().hash(), token.hash());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(Token::parse(std::str::from_utf8(&changed).unwrap()).is_none(), "byte {at}");
            assert!(Token::parse(&text[..at]).is_none(), "cut at {at}");
        }
        assert!(Token::parse(&text.to_uppercase()).is_none());
        assert!(Token::parse(&format!("{text}0")).is_none());
        assert!(!format!("{token:?}").contains(&text[21..30]));
    }
}
