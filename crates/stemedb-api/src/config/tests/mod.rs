//! The configuration, in a simulated file system.

mod documents;
mod layers;
mod panics;
mod production;
mod secrets;
mod strictness;
mod table;

use std::{ffi::OsString, path::Path, sync::OnceLock};

use stemedb_env::{Env, OpenMode};

use super::{
    Config, DEFAULT_FILE, Key, Keys, Kind, Problems, Settings, Sources, kind::Raw, layers::load_keys,
};

/// What a test configures.
#[derive(Clone, Debug, Default)]
struct Setup {
    /// Files by their paths.
    files: Vec<(String, Vec<u8>)>,
    file_flag: Option<String>,
    variables: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
}

impl Setup {
    /// With this text at the default place.
    fn file(text: impl Into<Vec<u8>>) -> Setup {
        Setup { files: vec![(DEFAULT_FILE.to_owned(), text.into())], ..Setup::default() }
    }

    fn variable(mut self, name: &str, value: &str) -> Setup {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Setup {
        self.flags.push((name, value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        self.load_keys(Keys::all())
    }

    fn load_keys(&self, keys: Keys) -> Result<Config, Problems> {
        let (env, _sim) = Env::sim(1);
        for (path, bytes) in &self.files {
            let path = Path::new(path);
            env.fs.create_dir(path.parent().unwrap()).unwrap();
            env.fs.open(path, OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
        }
        let sources = Sources {
            file: self.file_flag.as_ref().map(Into::into),
            default_file: DEFAULT_FILE.into(),
            variables: self.variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            flags: self.flags.iter().map(|(name, value)| (*name, OsString::from(value))).collect(),
        };
        load_keys(keys, &env, &sources)
    }

    /// The problems, a line each, without the default file's name.
    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let problems = self.load().expect_err("it must be refused").to_string();
        problems.lines().map(|line| line.replace(DEFAULT_FILE, "api.toml")).collect()
    }
}

/// Settings as text, all on one clock.
fn shape(mut settings: Settings) -> String {
    static ENV: OnceLock<Env> = OnceLock::new();
    settings.database.env = ENV.get_or_init(Env::real).clone();
    format!("{settings:?}")
}

/// Three values that a key takes, as variables have them. The environment stays what it is, so that its rules are not asked.
fn values(key: &Key) -> [String; 3] {
    let given = match key.kind {
        Kind::Switch(_) => ["false", "true", "false"].map(str::to_owned),
        Kind::Number { least, most, .. } => [least, least + (most - least) / 3, most].map(|n| n.to_string()),
        Kind::Choice(_) if key.is("server", "environment") => ["development"; 3].map(str::to_owned),
        Kind::Choice(choices) => [0, 1, 2].map(|at| choices[at % choices.len()].name.to_owned()),
        Kind::Address(_) => ["127.0.0.1:0", "[::1]:18180", "0.0.0.0:80"].map(str::to_owned),
        Kind::Ratio(_) => ["0", "0.25", "1"].map(str::to_owned),
        Kind::Room(_) => ["0", "2.5%", "5%,77MiB"].map(str::to_owned),
        Kind::Path(_) => ["here", "/a \"quoted\"\tpath", "/back\\slash"].map(str::to_owned),
        Kind::Text { .. } if key.is("security", "trusted_proxies") => {
            ["none", "10.0.0.0/8", "10.0.0.1,fd00::/8"].map(str::to_owned)
        }
        Kind::Text { .. } if key.is("security", "cors_origins") => {
            ["none", "https://a.example", "https://a.example,http://localhost:1"].map(str::to_owned)
        }
        Kind::Text { .. } if key.is("security", "rate_limits") => {
            ["reads=1/1", "bulk=off,admin=5/60", "writes=7/3"].map(str::to_owned)
        }
        Kind::Text { .. } if key.is("otlp", "endpoint") => {
            ["http://127.0.0.1:4318", "https://collector.example", "http://[::1]:4318/below"]
                .map(str::to_owned)
        }
        Kind::Text { .. } => ["/backup", "file:///backup", "a \"b\""].map(str::to_owned),
    };
    for value in &given {
        assert!(key.kind.read(Raw::Words(value.as_ref())).is_some(), "{} = {value}", key.path());
    }
    given
}

/// A value as the file has it.
fn literal(key: &Key, value: &str) -> String {
    key.kind.read(Raw::Words(value.as_ref())).unwrap().literal()
}
