//! A model's thinking, apart from its answer.

use std::ops::Range;

use crate::pattern::pattern;

pattern!(
    /// What opens a thought, as models write it.
    OPEN,
    r"(?i)<(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection)>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>(?:analysis|commentary)[^<]*<\|message\|>|<\|channel>thought\n"
);
pattern!(
    /// What closes one.
    CLOSE,
    r"(?i)</(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection)>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final[^<]*<\|message\|>|<channel\|>"
);

/// Returns where in a reply the answer is, after or between its thoughts; `None` if the reply thinks to its end.
///
/// Some chat templates write the opening mark into the prompt, so a reply may have a closing mark alone.
pub(super) fn answer_in(reply: &str) -> Option<Range<usize>> {
    let mut at = 0;
    let mut answers = Vec::new();
    loop {
        let open = OPEN.find_at(reply, at);
        let close = CLOSE.find_at(reply, at);
        match (open, close) {
            (None, None) => {
                answers.push(at..reply.len());
                break;
            }
            // Without an opening mark, everything so far was thought.
            (None, Some(close)) => {
                answers.clear();
                at = close.end();
            }
            (Some(open), Some(close)) if close.start() < open.start() => {
                answers.clear();
                at = close.end();
            }
            (Some(open), _) => {
                answers.push(at..open.start());
                // The first closing mark behind it ends it.
                match CLOSE.find_at(reply, open.end()) {
                    Some(close) => at = close.end(),
                    None => break,
                }
            }
        }
    }
    let is_said = |range: &Range<usize>| !reply[range.clone()].trim().is_empty();
    answers.into_iter().rfind(is_said)
}

/// Returns the answer of a reply, without thoughts; a reply that is one thought may have its answer in it, as a JSON object.
pub(super) fn answer_of(reply: &str) -> Option<&str> {
    if let Some(range) = answer_in(reply) {
        return Some(reply[range].trim());
    }
    let open = OPEN.find(reply);
    let inside = &reply[open.map_or(0, |open| open.end())..];
    let close = CLOSE.find(inside)?;
    let inside = inside[..close.start()].trim();
    (inside.starts_with('{') && inside.ends_with('}')).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_before_behind_between_and_without_thoughts() {
        for (reply, answer) in [
            ("yes", Some("yes")),
            ("<think>no?</think> yes", Some("yes")),
            ("no? I think {so}.</think>\n\nyes", Some("yes")),
            ("<think>a</think>yes<think>b</think>", Some("yes")),
            ("<think>a</think><think>b</think>yes", Some("yes")),
            ("<think><think>a</think></think>yes", Some("yes")),
            ("<think>a</think>draft</think>yes", Some("yes")),
            ("yes <think>and now", Some("yes")),
            ("<think>no", None),
            ("<think>no</think>", None),
            (
                "<think>{\"label\": \"yes\"}</think>",
                Some("{\"label\": \"yes\"}"),
            ),
            ("<THINKING>no</THINKING>yes", Some("yes")),
            ("[THINK]no[/THINK]yes", Some("yes")),
            ("◁think▷no◁/think▷yes", Some("yes")),
            (
                "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>yes",
                Some("yes"),
            ),
            ("", None),
        ] {
            assert_eq!(answer_of(reply), answer, "{reply}");
        }
    }
}
