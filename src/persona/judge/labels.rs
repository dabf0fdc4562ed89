//! What the classes of a public classifier mean to a judge.

use serde::{Deserialize, Serialize};

use super::{JudgeTask, Nli, Relevance};

/// What the classes of a judge mean, where their own names do not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JudgeLabels {
    /// The meaning of each class, in the order of the logits.
    Ordered(Vec<String>),
    /// A class's name in `config.json` for each meaning.
    Named(std::collections::BTreeMap<String, String>),
}

/// Where the classes of a task are among the logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The logit of each class, in the order of the task's classes; a single logit is that of the last one.
    pub(super) logits: Vec<usize>,
    /// Whether their order is taken on trust, as they have no names.
    pub(super) is_guessed: bool,
}

/// A class of one of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Nli(Nli),
    Relevance(Relevance),
}

/// A name without case, and with one sign between its words.
fn normalized(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join("_")
}

/// Whether transformers or a number stands in the place of a name.
fn is_unnamed(label: &str) -> bool {
    let label = normalized(label);
    let number = label.strip_prefix("label_").unwrap_or(&label);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a class of that name means to a task.
fn meaning(task: JudgeTask, label: &str) -> Option<Meaning> {
    let label = normalized(label);
    match task {
        JudgeTask::Nli => nli(&label).map(Meaning::Nli),
        JudgeTask::Relevance => relevance(&label).map(Meaning::Relevance),
    }
}

/// The words of SNLI, MNLI, XNLI, ANLI and FEVER.
fn nli(label: &str) -> Option<Nli> {
    let starts = |beginnings: &[&str]| beginnings.iter().any(|begin| label.starts_with(begin));
    match label {
        "neutral" | "neither" | "nei" => Some(Nli::Neutral),
        _ if starts(&["not_enough_info"]) => Some(Nli::Neutral),
        _ if starts(&["contradict", "refute"]) => Some(Nli::Contradicted),
        _ if starts(&["entail", "support"]) => Some(Nli::Entailed),
        _ => None,
    }
}

/// The words of rerankers, of classifiers of two classes, and of NLI that tells entailment from all else.
fn relevance(label: &str) -> Option<Relevance> {
    let negated = [
        "not_", "non_", "no_", "not", "non", "un", "ir", "dis", "mis",
    ]
    .iter();
    let negated = negated.filter_map(|negation| label.strip_prefix(negation));
    match label {
        "no" | "false" | "negative" => return Some(Relevance::No),
        "yes" | "true" | "positive" => return Some(Relevance::Yes),
        _ => {}
    }
    let is_yes = |label: &str| {
        ["relevant", "related", "entail", "support", "match"]
            .iter()
            .any(|begin| label.starts_with(begin))
    };
    if is_yes(label) {
        Some(Relevance::Yes)
    } else if negated.clone().any(is_yes) || nli(label) == Some(Nli::Contradicted) {
        Some(Relevance::No)
    } else {
        None
    }
}

impl JudgeLabels {
    /// Checks that each class of a task is there once.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn check(&self, task: JudgeTask) -> Result<(), String> {
        match self {
            Self::Ordered(labels) => columns(task, labels, None).map(drop),
            Self::Named(names) => {
                let meanings: Vec<String> = names.keys().cloned().collect();
                columns(task, &meanings, None).map(drop)
            }
        }
    }

    /// The meanings of a classifier's classes, in the order of its logits.
    fn of(&self, found: &[String]) -> Result<Vec<String>, String> {
        match self {
            Self::Ordered(labels) if labels.len() == found.len() => Ok(labels.clone()),
            Self::Ordered(labels) => Err(format!(
                "has {} classes, but the labels of judge.json or `judge_labels` name {}",
                found.len(),
                labels.len()
            )),
            Self::Named(names) => {
                let meaning = |label: &String| {
                    let named = names
                        .iter()
                        .find(|(_, name)| normalized(name) == normalized(label));
                    let (meaning, _) = named.ok_or_else(|| {
                        format!("has a class {label:?} that its \"labels\" do not name")
                    })?;
                    Ok(meaning.clone())
                };
                found.iter().map(meaning).collect()
            }
        }
    }
}

/// Finds the classes of a task among a classifier's, by what they are called whatever their case and order; `given` names
/// them in place of `config.json`.
///
/// # Errors
///
/// The reason why this is no judge of that task.
pub(super) fn columns(
    task: JudgeTask,
    found: &[String],
    given: Option<&JudgeLabels>,
) -> Result<Columns, String> {
    let labels = match given {
        Some(given) => given.of(found)?,
        None => found.to_vec(),
    };
    let wanted = task.labels();
    let classes: Vec<Meaning> = match task {
        JudgeTask::Nli => [Nli::Contradicted, Nli::Neutral, Nli::Entailed]
            .map(Meaning::Nli)
            .into(),
        JudgeTask::Relevance => [Relevance::No, Relevance::Yes]
            .map(Meaning::Relevance)
            .into(),
    };
    let is_single = task == JudgeTask::Relevance && labels.len() == 1;
    if labels.len() != wanted.len() && !is_single {
        return Err(wrong_number(task, &labels));
    }
    let found_meanings: Vec<Option<Meaning>> =
        labels.iter().map(|label| meaning(task, label)).collect();
    if is_single {
        // One logit has no order, only a sign.
        return match found_meanings[0] {
            Some(Meaning::Relevance(Relevance::Yes)) | None => Ok(Columns {
                logits: vec![0],
                is_guessed: false,
            }),
            _ => Err(format!(
                "has the single class {:?}, but a relevance judge with one logit must give the class yes",
                labels[0]
            )),
        };
    }
    if labels.iter().all(|label| is_unnamed(label)) {
        return Ok(Columns {
            logits: (0..labels.len()).collect(),
            is_guessed: true,
        });
    }
    if let Some(place) = found_meanings.iter().position(Option::is_none) {
        return Err(format!(
            "has a class {:?}, which is none of {} under any name that is known; name the classes in their order with \
             `judge_labels`",
            labels[place],
            wanted.join(", ")
        ));
    }
    let column = |class: &Meaning| {
        found_meanings
            .iter()
            .position(|found| *found == Some(*class))
    };
    let logits: Option<Vec<usize>> = classes.iter().map(column).collect();
    let logits = logits.ok_or_else(|| {
        format!(
            "its classes are {}, but {} are needed, each once; name them in their order with `judge_labels`",
            labels.join(", "),
            wanted.join(", ")
        )
    })?;
    Ok(Columns {
        logits,
        is_guessed: false,
    })
}

/// Tells what a classifier of another number of classes can serve for.
fn wrong_number(task: JudgeTask, labels: &[String]) -> String {
    let n_labels = labels.len();
    let classes = if n_labels == 1 { "class" } else { "classes" };
    let named = labels
        .iter()
        .take(4)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let advice = match (task, n_labels) {
        (JudgeTask::Nli, 1 | 2) => {
            "; it cannot separate contradicted from neutral, but works as a relevance judge: use `relevance`"
        }
        (JudgeTask::Relevance, 3)
            if columns(JudgeTask::Nli, labels, None).is_ok_and(|columns| !columns.is_guessed) =>
        {
            "; it can judge NLI: `nli`"
        }
        _ => "",
    };
    let wanted = task.labels();
    format!(
        "has {n_labels} {classes} ({named}), but {} are needed: {}{advice}",
        wanted.len(),
        wanted.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(task: JudgeTask, labels: &[&str]) -> Result<Columns, String> {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        columns(task, &labels, None)
    }

    #[test]
    fn classes_are_found_by_what_they_mean_whatever_their_case_and_order() {
        for (labels, logits) in [
            (["contradicted", "neutral", "entailed"], [0, 1, 2]),
            (["contradiction", "entailment", "neutral"], [0, 2, 1]),
            (["entailment", "neutral", "contradiction"], [2, 1, 0]),
            (["contradiction", "neutral", "entailment"], [0, 1, 2]),
            (["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], [2, 1, 0]),
            (["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], [0, 1, 2]),
            (["Neutral", "Contradictory", "Entails"], [1, 0, 2]),
            (["neutral", "entailment", "contradictory"], [2, 0, 1]),
            (["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"], [1, 2, 0]),
            (
                ["supported", "not_enough_information", "refuted"],
                [2, 1, 0],
            ),
            (["neither", " entailment ", "contradicts"], [2, 0, 1]),
            (["NEI", "Support", "Refute"], [2, 0, 1]),
        ] {
            let columns = found(JudgeTask::Nli, &labels).unwrap();
            assert_eq!(columns.logits, logits, "{labels:?}");
            assert!(!columns.is_guessed, "{labels:?}");
        }
        for (labels, logits) in [
            (["no", "yes"], [0, 1]),
            (["Yes", "No"], [1, 0]),
            (["entailment", "not_entailment"], [1, 0]),
            (["NOT_ENTAILMENT", "ENTAILMENT"], [0, 1]),
            (["non-entailment", "entailment"], [0, 1]),
            (["relevant", "irrelevant"], [1, 0]),
            (["Not Relevant", "Relevant"], [0, 1]),
            (["unsupported", "supported"], [0, 1]),
            (["true", "false"], [1, 0]),
            (["contradiction", "entailment"], [0, 1]),
            (["related", "unrelated"], [1, 0]),
        ] {
            let columns = found(JudgeTask::Relevance, &labels).unwrap();
            assert_eq!(columns.logits, logits, "{labels:?}");
            assert!(!columns.is_guessed, "{labels:?}");
        }
        for label in ["LABEL_0", "relevant", "score"] {
            let columns = found(JudgeTask::Relevance, &[label]).unwrap();
            assert_eq!(columns.logits, [0], "{label}");
        }
    }

    #[test]
    fn classes_without_names_are_taken_on_trust_and_that_is_known() {
        for labels in [["LABEL_0", "LABEL_1", "LABEL_2"], ["0", "1", "2"]] {
            let columns = found(JudgeTask::Nli, &labels).unwrap();
            assert_eq!((columns.logits, columns.is_guessed), (vec![0, 1, 2], true));
        }
        assert!(
            found(JudgeTask::Relevance, &["LABEL_0", "LABEL_1"])
                .unwrap()
                .is_guessed
        );
    }

    #[test]
    fn what_is_not_known_or_not_of_the_task_is_refused_by_name() {
        let nli = |labels: &[&str]| found(JudgeTask::Nli, labels).unwrap_err();
        let relevance = |labels: &[&str]| found(JudgeTask::Relevance, labels).unwrap_err();
        assert!(nli(&["happy", "neutral", "sad"]).contains("\"happy\""));
        assert!(nli(&["LABEL_0", "neutral", "entailment"]).contains("\"LABEL_0\""));
        assert!(nli(&["entailment", "entailment", "neutral"]).contains("each once"));
        let two = nli(&["entailment", "not_entailment"]);
        assert!(
            two.contains("not_entailment") && two.contains("`relevance`"),
            "{two}"
        );
        assert!(nli(&["LABEL_0"]).contains("1 class "), "a reranker");
        assert!(relevance(&["contradiction", "neutral", "entailment"]).contains("`nli`"));
        assert!(relevance(&["toxic", "fine"]).contains("\"toxic\""));
        assert!(relevance(&["irrelevant"]).contains("\"irrelevant\""));
        assert!(relevance(&["a", "b", "c", "d", "e"]).contains("5 classes"));
    }

    #[test]
    fn labels_that_are_given_take_the_place_of_names() {
        let names = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        let ordered = JudgeLabels::Ordered(names(&["entailment", "neutral", "contradiction"]));
        let found = names(&["LABEL_0", "LABEL_1", "LABEL_2"]);
        let columns = columns(JudgeTask::Nli, &found, Some(&ordered)).unwrap();
        assert_eq!((columns.logits, columns.is_guessed), (vec![2, 1, 0], false));
        let named = r#"{"contradicted": "c", "neutral": "N", "entailed": "e"}"#;
        let named: JudgeLabels = serde_json::from_str(named).unwrap();
        let of = |labels: &[&str]| super::columns(JudgeTask::Nli, &names(labels), Some(&named));
        assert_eq!(of(&["n", "e", "c"]).unwrap().logits, [2, 0, 1]);
        assert!(of(&["n", "e", "d"]).unwrap_err().contains("\"d\""));
        assert!(ordered.check(JudgeTask::Nli).is_ok() && named.check(JudgeTask::Nli).is_ok());
        assert!(ordered.check(JudgeTask::Relevance).is_err());
    }
}
