//! The keys of one database: in memory, and in a file beside it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use stemedb_core::Micros;
use stemedb_env::{
    Env,
    fs::{read_file, tree::create_dir_durably, write_private_file_atomic},
};

use super::{
    KeyId, KeyRecord, KeyState, KeysError, NewKey, Token,
    file::{Keys, parse, render},
};

/// Keys of one database that have neither expired nor been revoked.
pub const KEYS_MAX: usize = 4096;
/// Keys that are remembered although they are not good any more; the oldest are forgotten first.
const ENDED_MAX: usize = 4096;
const FILE_MAX_BYTES: u64 = 64 << 20;
const NEVER: i64 = i64::MIN;

/// A key that is in use.
#[derive(Debug)]
pub(crate) struct LiveKey {
    pub record: KeyRecord,
    /// When it was last presented, in microseconds; [`NEVER`] since the start. In memory alone.
    last_used: AtomicI64,
}

impl LiveKey {
    fn new(record: KeyRecord) -> Arc<LiveKey> {
        Arc::new(LiveKey { record, last_used: AtomicI64::new(NEVER) })
    }
}

/// What is known of all keys.
#[derive(Debug)]
enum State {
    Known(BTreeMap<KeyId, Arc<LiveKey>>),
    /// The file cannot be used: no key is good, and there are some.
    Damaged(Arc<KeysError>),
}

/// The keys of one database. Changes are durable and in force when a call returns.
#[derive(Debug)]
pub struct KeyStore {
    env: Env,
    file: PathBuf,
    /// Held by whoever changes the file.
    turn: Mutex<()>,
    state: RwLock<State>,
}

/// Why a key that was presented is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotGood {
    /// There is none with this secret, or its time is over. Which of them is not told.
    Refused,
    /// The file is damaged.
    Damaged,
}

impl KeyStore {
    /// Reads the file; an absent one means that there are no keys. A damaged one is told in the log, and by [`KeyStore::check`];
    /// until the store is opened anew no key is good.
    pub fn open(env: &Env, file: PathBuf) -> KeyStore {
        let state = match load(env, &file) {
            Ok(keys) => State::Known(keys.into_iter().map(|(id, key)| (id, LiveKey::new(key))).collect()),
            Err(error) => {
                tracing::error!("no API key is good: {error}");
                State::Damaged(Arc::new(error))
            }
        };
        KeyStore { env: env.clone(), file, turn: Mutex::new(()), state: RwLock::new(state) }
    }

    /// Whether the file could be used; what is wrong with it otherwise.
    ///
    /// # Errors
    /// Why no key is good.
    pub fn check(&self) -> Result<(), Arc<KeysError>> {
        match &*self.state.read() {
            State::Known(_) => Ok(()),
            State::Damaged(error) => Err(Arc::clone(error)),
        }
    }

    /// Whether a key was ever made, good or not. A file that cannot be read counts as one that has keys.
    pub fn has_keys(&self) -> bool {
        match &*self.state.read() {
            State::Known(keys) => !keys.is_empty(),
            State::Damaged(_) => true,
        }
    }

    /// The key that a token is of, if it is good. Takes the same steps for a key that is unknown, revoked or expired.
    pub(super) fn authenticate(&self, token: &Token) -> Result<Arc<LiveKey>, NotGood> {
        let now = self.now();
        let (found, expected) = match &*self.state.read() {
            State::Damaged(_) => return Err(NotGood::Damaged),
            State::Known(keys) => {
                let found = keys.get(&token.id()).cloned();
                // An unknown key is compared as well, with a hash that nothing has.
                let expected = found.as_ref().map_or(blake3::Hash::from([0; 32]), |key| key.record.hash);
                (found, expected)
            }
        };
        let same = token.hash() == expected;
        match found.filter(|key| same & (key.record.state(now) == KeyState::Active)) {
            Some(key) => {
                key.last_used.store(now.0, Ordering::Relaxed);
                Ok(key)
            }
            None => Err(NotGood::Refused),
        }
    }

    /// Makes a key. The token is the only place where its secret is.
    ///
    /// # Errors
    /// [`KeysError`]; nothing has changed then.
    pub fn create(&self, new: NewKey) -> Result<(Token, KeyRecord), KeysError> {
        let _turn = self.turn.lock();
        let now = self.now();
        new.check(now)?;
        let mut keys = self.current()?;
        let good = keys.values().filter(|key| key.state(now) == KeyState::Active).count();
        if good >= KEYS_MAX {
            return Err(KeysError::TooMany { max: KEYS_MAX });
        }
        let mut token = Token::make(&self.env)?;
        while keys.contains_key(&token.id()) {
            token = Token::make(&self.env)?;
        }
        let NewKey { label, scopes, agent, expires_at } = new;
        let (id, hash) = (token.id(), token.hash());
        let record =
            KeyRecord { id, hash, label, scopes, agent, created_at: now, expires_at, revoked_at: None };
        keys.insert(id, record.clone());
        self.put(keys)?;
        Ok((token, record))
    }

    /// Revokes a key; `false` where there is none. One that was revoked before stays as it was.
    ///
    /// # Errors
    /// [`KeysError`]; nothing has changed then.
    pub fn revoke(&self, id: KeyId) -> Result<bool, KeysError> {
        let _turn = self.turn.lock();
        let mut keys = self.current()?;
        let Some(key) = keys.get_mut(&id) else { return Ok(false) };
        if key.revoked_at.is_none() {
            key.revoked_at = Some(self.now());
            self.put(keys)?;
        }
        Ok(true)
    }

    /// Every key by its id, with the time it was last presented since the store was opened.
    ///
    /// # Errors
    /// Why no key is good.
    pub fn list(&self) -> Result<Vec<(KeyRecord, Option<Micros>)>, Arc<KeysError>> {
        let used = |key: &LiveKey| {
            let at = key.last_used.load(Ordering::Relaxed);
            (at != NEVER).then_some(Micros(at))
        };
        match &*self.state.read() {
            State::Known(keys) => Ok(keys.values().map(|key| (key.record.clone(), used(key))).collect()),
            State::Damaged(error) => Err(Arc::clone(error)),
        }
    }

    /// The present instant, as keys measure it.
    pub fn now(&self) -> Micros {
        Micros(self.env.clock.wall().0)
    }

    fn current(&self) -> Result<Keys, KeysError> {
        match &*self.state.read() {
            State::Known(keys) => Ok(keys.iter().map(|(id, key)| (*id, key.record.clone())).collect()),
            State::Damaged(error) => {
                Err(KeysError::Damaged { file: self.file.clone(), problem: error.to_string() })
            }
        }
    }

    /// Writes the file, then shows the keys: what is not durable was never in force.
    fn put(&self, mut keys: Keys) -> Result<(), KeysError> {
        forget_oldest(&mut keys, self.now());
        if let Some(dir) = self.file.parent() {
            create_dir_durably(&*self.env.fs, dir)?;
        }
        write_private_file_atomic(&*self.env.fs, &self.file, &render(&keys))?;
        let mut state = self.state.write();
        let before = match &*state {
            State::Known(before) => before.clone(),
            State::Damaged(_) => BTreeMap::new(),
        };
        let live = |(id, record): (KeyId, KeyRecord)| {
            let key = LiveKey::new(record);
            if let Some(before) = before.get(&id) {
                key.last_used.store(before.last_used.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            (id, key)
        };
        *state = State::Known(keys.into_iter().map(live).collect());
        Ok(())
    }
}

fn load(env: &Env, file: &std::path::Path) -> Result<Keys, KeysError> {
    if env.fs.metadata(file)?.is_none() {
        return Ok(Keys::new());
    }
    let bytes = read_file(&*env.fs, file, FILE_MAX_BYTES)?;
    parse(&bytes).map_err(|problem| KeysError::Damaged { file: file.to_path_buf(), problem })
}

/// Keeps the number of ended keys bounded.
fn forget_oldest(keys: &mut Keys, now: Micros) {
    let mut ended: Vec<(Micros, KeyId)> = keys
        .values()
        .filter(|key| key.state(now) != KeyState::Active)
        .map(|key| (key.revoked_at.or(key.expires_at).unwrap_or(key.created_at), key.id))
        .collect();
    ended.sort_unstable();
    for (_, id) in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
        keys.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use stemedb_env::{
        Error, IoOp,
        fs::{
            FaultFs,
            fault::{Fault, FaultRule},
        },
    };

    use super::{
        super::{Scope, Scopes},
        *,
    };

    const FILE: &str = "/db/keys/api.keys";

    fn new(label: &str) -> NewKey {
        let scopes = Scopes::new([Scope::Read]).unwrap();
        NewKey { label: label.to_owned(), scopes, agent: None, expires_at: None }
    }

    #[test]
    fn a_key_is_good_at_once_after_a_restart_and_until_it_is_revoked() {
        let (env, _) = Env::sim(1);
        let store = KeyStore::open(&env, FILE.into());
        assert!(!store.has_keys());
        let (first, _) = store.create(new("old")).unwrap();
        let (second, _) = store.create(new("new")).unwrap();
        assert!(store.authenticate(&first).is_ok() && store.authenticate(&second).is_ok(), "both, to rotate");
        assert!(store.revoke(first.id()).unwrap());
        assert_eq!(store.authenticate(&first).unwrap_err(), NotGood::Refused);
        assert!(store.authenticate(&second).is_ok());
        let again = KeyStore::open(&env, FILE.into());
        assert_eq!(again.authenticate(&first).unwrap_err(), NotGood::Refused);
        assert!(again.authenticate(&second).is_ok());
        assert!(!again.revoke(KeyId([0; 6])).unwrap());
        let used: Vec<bool> = again.list().unwrap().iter().map(|(_, used)| used.is_some()).collect();
        assert_eq!(used.iter().filter(|used| **used).count(), 1);
    }

    #[test]
    fn a_key_ends_when_its_time_is_over_and_another_secret_is_never_good() {
        let (env, handles) = Env::sim(2);
        let store = KeyStore::open(&env, FILE.into());
        let expires_at = Some(Micros(store.now().0 + 1_000_000));
        let (token, _) = store.create(NewKey { expires_at, ..new("short") }).unwrap();
        assert!(store.authenticate(&token).is_ok());
        let (other, _) = store.create(new("other")).unwrap();
        let forged = other.reveal().replace(&other.id().to_string(), &token.id().to_string());
        assert!(Token::parse(&forged).is_none(), "the checksum covers the id");
        handles.clock.advance(Duration::from_secs(1));
        assert_eq!(store.authenticate(&token).unwrap_err(), NotGood::Refused);
        assert!(matches!(store.create(NewKey { expires_at, ..new("late") }), Err(KeysError::NeverGood)));
        assert!(matches!(store.create(new("a\nb")), Err(KeysError::Label { .. })));
    }

    #[test]
    fn a_damaged_file_makes_no_key_good_and_is_never_taken_for_none() {
        let (env, _) = Env::sim(3);
        let store = KeyStore::open(&env, FILE.into());
        let (token, _) = store.create(new("k")).unwrap();
        let mut bytes = read_file(&*env.fs, Path::new(FILE), FILE_MAX_BYTES).unwrap();
        bytes[30] ^= 1;
        write_private_file_atomic(&*env.fs, Path::new(FILE), &bytes).unwrap();
        let damaged = KeyStore::open(&env, FILE.into());
        assert!(damaged.has_keys());
        assert_eq!(damaged.authenticate(&token).unwrap_err(), NotGood::Damaged);
        assert!(matches!(*damaged.check().unwrap_err(), KeysError::Damaged { .. }));
        assert!(damaged.create(new("another")).is_err(), "it would overwrite what may be restored");
        assert_eq!(read_file(&*env.fs, Path::new(FILE), FILE_MAX_BYTES).unwrap(), bytes);
        write_private_file_atomic(&*env.fs, Path::new(FILE), b"").unwrap();
        assert!(KeyStore::open(&env, FILE.into()).check().is_err(), "an empty file is damaged, too");
    }

    #[test]
    fn what_the_disk_refused_is_not_in_force() {
        let (mut env, _) = Env::sim(4);
        let faults = Arc::new(FaultFs::new(Arc::clone(&env.fs), 1));
        env.fs = Arc::<FaultFs>::clone(&faults);
        let store = KeyStore::open(&env, FILE.into());
        let (token, _) = store.create(new("k")).unwrap();
        faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write));
        assert!(matches!(store.revoke(token.id()), Err(KeysError::Env(Error::Io { .. }))));
        assert!(store.authenticate(&token).is_ok());
        assert!(store.create(new("another")).is_err());
        assert_eq!(store.list().unwrap().len(), 1);
        faults.clear();
        assert!(store.revoke(token.id()).unwrap());
        assert!(store.authenticate(&token).is_err());
    }
}
