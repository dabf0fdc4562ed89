//! Turns the setting names in the library's messages into flags.

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::Error;
use crate::cli::next::program;

/// The long names of all flags.
static FLAGS: OnceLock<HashSet<String>> = OnceLock::new();

/// Remembers the flags of a program and its commands.
pub(super) fn remember(program: &clap::Command) {
    let commands = std::iter::once(program).chain(program.get_subcommands());
    let args = commands.flat_map(clap::Command::get_arguments);
    let flags = args.filter_map(|arg| arg.get_long().map(str::to_string));
    FLAGS.get_or_init(|| flags.collect());
}

/// Adds to an error the flags that fix it, which the library does not know.
pub(super) fn message(error: &Error) -> String {
    with_flags(&error.to_string())
}

/// Replaces the settings in a message, which are in backticks, by flags or environment variables.
pub(super) fn with_flags(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once('`') {
        let Some((setting, after)) = opened.split_once('`') else {
            break;
        };
        told += before;
        let flag = setting.replace('_', "-");
        told += &match setting {
            "api_key" => "OPENAI_API_KEY".to_string(),
            command if command.starts_with("apc ") => program() + &command["apc".len()..],
            // A field of a file that a reader of JSON names.
            _ if before.ends_with("field ") => format!("`{setting}`"),
            _ if FLAGS.get().is_some_and(|flags| flags.contains(&flag)) => format!("--{flag}"),
            _ => format!("`{setting}`"),
        };
        rest = after;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_backticks_are_told_as_flags_and_variables() {
        remember(&crate::cli::program());
        for (text, told) in [
            (
                "lower `rag_top_k`, or `seed` 3",
                "lower --rag-top-k, or --seed 3",
            ),
            ("set `api_key`", "set OPENAI_API_KEY"),
            ("`A b` stays, a lone ` too", "`A b` stays, a lone ` too"),
            (
                "the server says `unknown_thing`",
                "the server says `unknown_thing`",
            ),
            ("missing field `query`", "missing field `query`"),
            ("``", "``"),
            ("plain", "plain"),
        ] {
            assert_eq!(with_flags(text), told);
        }
        let error = Error::setting("lora_rank", "is 0");
        assert_eq!(message(&error), "--lora-rank is 0");
    }
}
