//! How chat models and people spell the labels of the two judges.

use super::parse;

/// `no` and `yes`.
pub(super) const RELEVANCE: [&[&str]; 2] = [
    &["no", "false", "否", "无关", "不", "いいえ", "なし"],
    &["yes", "true", "是", "有关", "はい", "あり"],
];
/// `contradicted`, `neutral` and `entailed`.
pub(super) const NLI: [&[&str]; 3] = [
    &[
        "contradicted",
        "contradiction",
        "contradict",
        "contradicts",
        "矛盾",
    ],
    &["neutral", "中立"],
    &[
        "entailed",
        "entailment",
        "entail",
        "entails",
        "蕴含",
        "含意",
    ],
];

/// The place of the label that a text says, among `no` and `yes` or `contradicted`, `neutral` and `entailed`, however they
/// are spelt.
pub(in crate::teacher) fn read_label(text: &str, names: &[&str]) -> Option<usize> {
    let labels: &[&[&str]] = if names.len() == 2 { &RELEVANCE } else { &NLI };
    parse::label(text, "label", labels).ok()
}
