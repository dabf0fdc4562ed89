//! The sizes that a refusal tells: the context's length, the longest answer, the tokens of the prompt.

use regex::Regex;

use crate::pattern::pattern;

/// What a refusal tells of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Tokens of prompt and answer together.
    pub(super) context: Option<u64>,
    /// Tokens of an answer.
    pub(super) longest: Option<u64>,
    /// Tokens of the prompt that was refused.
    pub(super) prompt: Option<u64>,
}

/// Reads the sizes in a refusal's words, in small letters; `None` if it is not about sizes.
///
/// - asked: the longest answer that was asked for
/// - estimated: about how many tokens the prompt has
pub(super) fn read(words: &str, asked: Option<u64>, estimated: u64) -> Option<Sizes> {
    const TOO_MUCH: [&str; 14] = [
        "too large",
        "too long",
        "too big",
        "too many",
        "exceed",
        "at most",
        "less than",
        "greater than",
        "maximum",
        "range",
        "<=",
        "overflow",
        "limit",
        " > ",
    ];
    let has = |all: &[&str]| all.iter().any(|part| words.contains(part));
    let is_context = has(&[
        "context",
        "n_ctx",
        "sequence length",
        "model length",
        "model len",
        "inputs' tokens",
    ]);
    let is_size = has(&TOO_MUCH) && (is_context || has(&["token", "length"]));
    if !is_size {
        return None;
    }
    let all = numbers(words);
    // The requested limit, and sums that include it, are not the server's numbers.
    let own = |n: &u64| {
        Some(*n) == asked
            || asked.is_some_and(|asked| all.contains(&n.saturating_sub(asked)) && *n > asked)
    };
    let told = if is_context {
        let behind = r"(?:context|n_ctx|sequence length|model len|inputs' tokens)[^0-9]{0,60}?([0-9][0-9,_]*)";
        let before = r"([0-9][0-9,_]*)[^0-9]{0,25}context";
        near(words, behind).or_else(|| near(words, before).filter(|n| !own(n)))
    } else {
        let behind = r"(?:at most|equal to|less than|maximum|limit|up to|range|<=|>)[^0-9]{0,40}?([0-9][0-9,_]*)(?:[^0-9]{1,15}([0-9][0-9,_]*))?";
        near(words, behind).filter(|n| !own(n) || Some(*n) < asked)
    };
    let told = told.filter(|&n| n >= 16);
    let others = all
        .iter()
        .copied()
        .filter(|n| Some(*n) != asked && Some(*n) != told);
    let near_estimate = |n: &u64| *n <= estimated * 3 && *n * 3 >= estimated;
    let summed = asked.and_then(|asked| {
        let sum = |n: &&u64| {
            n.checked_sub(asked)
                .is_some_and(|rest| rest > 0 && all.contains(&rest))
        };
        all.iter().find(sum).map(|sum| sum - asked)
    });
    let prompt = summed.or_else(|| {
        others
            .filter(near_estimate)
            .min_by_key(|n| n.abs_diff(estimated))
    });
    Some(Sizes {
        context: told.filter(|_| is_context),
        longest: told.filter(|n| !is_context && asked.is_none_or(|asked| *n < asked)),
        prompt,
    })
}

/// The number at a place in a text; the last of a range.
fn near(words: &str, pattern: &str) -> Option<u64> {
    let found = Regex::new(pattern).ok()?.captures(words)?;
    found
        .iter()
        .skip(1)
        .flatten()
        .filter_map(|number| number_of(number.as_str()))
        .max()
}

fn number_of(text: &str) -> Option<u64> {
    text.replace([',', '_'], "").parse().ok()
}

/// The numbers of a text that stand alone, not those in names of models.
pub(super) fn numbers(words: &str) -> Vec<u64> {
    let alone = words.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | '_' | '-')));
    alone
        .filter_map(|word| number_of(word.trim_matches(['.', ',', '-', '_'])))
        .collect()
}

/// Whether a refusal's words, in small letters, are about the system's turn.
pub(super) fn names_system(words: &str) -> bool {
    pattern!(
        SYSTEM,
        r#"(?:system|developer)['"`]?\s+(?:role|message|prompt|instruction|turn)|roles?\b.{0,40}\bsystem|['"`]system['"`]|roles must alternate|messages?[\[.]0\]?\.role|(?:system|developer)\W+is not (?:a )?(?:valid|supported|allowed|enabled)|only user and assistant"#
    );
    SYSTEM.is_match(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::chat::plain::quoted;

    #[test]
    fn the_sizes_are_read_from_the_sentences_of_many_servers() {
        let (asked, estimated) = (Some(8192), 1000);
        let context = |context, prompt| {
            Some(Sizes {
                context: Some(context),
                longest: None,
                prompt,
            })
        };
        let longest = |longest| {
            Some(Sizes {
                context: None,
                longest: Some(longest),
                prompt: None,
            })
        };
        for (words, wanted) in [
            (
                "This model's maximum context length is 8192 tokens. However, you requested 9300 tokens (1108 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.",
                context(8192, Some(1108)),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 9300 tokens (1108 in the messages, 8192 in the completion).",
                context(4096, Some(1108)),
            ),
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 8192 tokens and your request has 1108 input tokens (8192 > 8192 - 1108).",
                context(8192, Some(1108)),
            ),
            (
                "Requested token count exceeds the model's maximum context length of 8,192 tokens. You requested a total of 9300 tokens: 1108 tokens from the input messages and 8192 tokens for the completion.",
                context(8192, Some(1108)),
            ),
            (
                "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                context(4096, None),
            ),
            (
                "Requested tokens (2300) exceed context window of 2048",
                context(2048, Some(2300)),
            ),
            (
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                context(32768, None),
            ),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1108 `inputs` tokens and 8192 `max_new_tokens`",
                context(4096, Some(1108)),
            ),
            (
                "the model is loaded with context length of only 4096 tokens, which the prompt would overflow",
                context(4096, None),
            ),
            (
                "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you provided 8192.",
                longest(4096),
            ),
            (
                "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku-20240307",
                longest(4096),
            ),
            (
                "`max_tokens` must be less than or equal to `2048`, the maximum value for `max_tokens`",
                longest(2048),
            ),
            (
                "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]",
                longest(4096),
            ),
            (
                "max_completion_tokens: Input should be less than or equal to 4096",
                longest(4096),
            ),
            ("context length exceeded", Some(Sizes::default())),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                None,
            ),
            (
                "max_completion_tokens: Extra inputs are not permitted",
                None,
            ),
            ("System role not supported", None),
        ] {
            assert_eq!(
                read(&quoted(words, 400).to_lowercase(), asked, estimated),
                wanted,
                "{words}"
            );
        }
    }

    #[test]
    fn refusals_of_a_system_turn_are_told_from_other_failures() {
        for words in [
            "System role not supported",
            "'messages[0].role' does not support 'system' with this model.",
            "Conversation roles must alternate user/assistant/user/assistant/...",
            "Developer instruction is not enabled for models/gemma-3-27b-it",
            "Only user and assistant roles are supported!",
            "Unsupported value: role 'system'",
        ] {
            assert!(names_system(&words.to_lowercase()), "{words}");
        }
        for words in [
            "the system is overloaded",
            "file system full",
            "system error 5",
        ] {
            assert!(!names_system(words), "{words}");
        }
    }
}
