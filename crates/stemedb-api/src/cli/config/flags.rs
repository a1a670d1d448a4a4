//! The flags of `serve`, made from the table of keys.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches, builder::OsStringValueParser, parser::ValueSource,
};
use stemedb_api::config::{BuiltIn, DEFAULT_FILE, FILE_VARIABLE, FlagOf, Key, Keys, Kind};

const FILE: &str = "config";

/// What a command line says about the configuration. Values are not looked at here: all layers are read by one reader, which
/// finds everything that is wrong with any of them.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    file: Option<PathBuf>,
    given: Vec<(&'static str, OsString)>,
}

impl Flags {
    /// The file that `--config` names.
    pub fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// Flags of keys, by their names.
    pub fn given(&self) -> &[(&'static str, OsString)] {
        &self.given
    }
}

/// The keys whose flags are defined here.
fn keys() -> impl Iterator<Item = &'static Key> {
    Keys::all().iter().filter(|key| key.flag_of == FlagOf::Serve)
}

fn help(key: &Key) -> String {
    let built_in = match key.built_in {
        BuiltIn::Is(value) => format!("default: {value}"),
        BuiltIn::Unset { means, .. } => format!("default: {means}"),
    };
    let allowed = match key.kind {
        Kind::Choice(_) | Kind::Ratio(_) | Kind::Room(_) | Kind::Text { .. } => {
            format!(": {}", key.kind.allowed())
        }
        Kind::Switch(_) | Kind::Number { .. } | Kind::Address(_) | Kind::Path(_) => String::new(),
    };
    format!("{}{allowed} [{built_in}] [env: {}]", key.about, key.variable())
}

fn arg(key: &'static Key) -> Arg {
    let arg = Arg::new(key.flag)
        .long(key.flag)
        .help(help(key))
        .help_heading(Keys::all().about_section(key.section))
        .value_name(key.kind.placeholder())
        .value_parser(OsStringValueParser::new());
    match key.kind {
        Kind::Switch(_) => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(OsStringValueParser::new())
            .help(format!(
                "The configuration file, which must exist [default: {DEFAULT_FILE}] [env: {FILE_VARIABLE}]"
            ));
        command.arg(file).args(keys().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let value = |name: &str| {
            let is_given = matches.value_source(name) == Some(ValueSource::CommandLine);
            is_given.then(|| matches.get_one::<OsString>(name).cloned())?
        };
        let file = value(FILE).map(PathBuf::from);
        let given = keys().filter_map(|key| Some((key.flag, value(key.flag)?))).collect();
        Ok(Flags { file, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        let command = Flags::augment_args(Command::new("serve"));
        Flags::from_arg_matches(&command.try_get_matches_from([&["serve"], arguments].concat())?)
    }

    #[test]
    fn flags_are_taken_as_they_are_and_only_if_they_are_given() {
        let flags = parse(&["--bind", "nonsense", "--init", "--config", "x.toml", "--cache-mib=7"]).unwrap();
        let given = |name: &'static str, value: &str| (name, OsString::from(value));
        assert_eq!(
            flags.given(),
            [given("bind", "nonsense"), given("init", "true"), given("cache-mib", "7")]
        );
        assert_eq!(flags.file(), Some(PathBuf::from("x.toml")));
        assert_eq!(parse(&[]).unwrap().given(), []);
        assert_eq!(parse(&["--init=false"]).unwrap().given(), [given("init", "false")]);
    }

    #[test]
    fn a_flag_that_is_not_known_or_given_twice_is_refused() {
        for wrong in
            [&["--cache-mb", "7"][..], &["--bind", "a", "--bind", "b"], &["--bind"], &["--init", "true"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
