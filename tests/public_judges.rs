//! Public classifiers as judges: whatever their classes are called, in whatever order, of sentences or pairs.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use apc::files::{self, Checkpoint};
use apc::persona::{JudgeSource, JudgeTask, LocalJudge, NliProbabilities, Persona};
use apc::progress::Job;
use burn::tensor::Device;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::bad_input::small;

/// A small judge under another name: with other labels, and the rows of its head in their order.
pub(crate) struct Foreign {
    folder: tempfile::TempDir,
}

impl Foreign {
    /// - rows: for each new logit the old one
    pub(crate) fn new(name: &str, rows: &[usize], labels: &[&str]) -> Self {
        let made = Self::with_head(name, labels, |row_size, values| {
            let old: Vec<&[f32]> = values.chunks(row_size).collect();
            rows.iter().flat_map(|&row| old[row].to_vec()).collect()
        });
        made.remove("judge.json");
        fs::copy(
            small(name).join("judge.json"),
            made.path().join("judge.json"),
        )
        .unwrap();
        made
    }

    /// - head: what becomes of the rows of the classifier's weight or bias, given the length of a row
    pub(crate) fn with_head(
        name: &str,
        labels: &[&str],
        head: impl Fn(usize, Vec<f32>) -> Vec<f32>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = small(name);
        fs::copy(
            from.join("tokenizer.json"),
            folder.path().join("tokenizer.json"),
        )
        .unwrap();
        let mut config: Value = files::read_json(&from.join("config.json")).unwrap();
        let names = labels.iter().enumerate();
        let names: HashMap<String, &str> =
            names.map(|(at, name)| (at.to_string(), *name)).collect();
        config["id2label"] = json!(names);
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

        let bytes = fs::read(from.join("model.safetensors")).unwrap();
        let stored = SafeTensors::deserialize(&bytes).unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = stored
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                assert_eq!(view.dtype(), Dtype::BF16);
                let (values, _) = view.data().as_chunks::<2>();
                let value =
                    |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                let mut values: Vec<f32> = values.iter().map(value).collect();
                let mut shape = view.shape().to_vec();
                if name.starts_with("classifier.") {
                    let row_size = shape.get(1).copied().unwrap_or(1);
                    values = head(row_size, values);
                    shape[0] = values.len() / row_size;
                }
                let bytes = values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                (name, shape, bytes)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (name.as_str(), view)
        });
        let path = folder.path().join("model.safetensors");
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn name(&self) -> &str {
        self.path().to_str().unwrap()
    }

    pub(crate) fn remove(&self, file: &str) {
        let path = self.path().join(file);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn write(&self, file: &str, value: &Value) {
        fs::write(self.path().join(file), value.to_string()).unwrap();
    }

    pub(crate) fn load(&self, task: JudgeTask) -> Result<LocalJudge, String> {
        load(self.path(), task)
    }
}

pub(crate) fn load(folder: &Path, task: JudgeTask) -> Result<LocalJudge, String> {
    let source = JudgeSource::from(Checkpoint::from(folder.to_path_buf()));
    LocalJudge::load(&source, task, &Device::flex().into()).map_err(|error| error.to_string())
}

pub(crate) fn persona() -> Persona {
    Persona::new(
        "Mira",
        ["Mira plays the cello.", "Mira is afraid of heights."],
    )
}

const REPLIES: [(&str, &str); 2] = [
    ("What do you play?", "I play the drums."),
    ("Are you afraid of heights?", "Yes, I am afraid of heights."),
];

fn nli(judge: &LocalJudge) -> Vec<NliProbabilities> {
    let rows = judge.nli(&persona(), &REPLIES, &Job::default()).unwrap();
    rows.concat()
}

pub(crate) fn relevance(judge: &LocalJudge) -> Vec<f64> {
    let queries = REPLIES.map(|(query, _)| query.to_string());
    let table = judge.relevance(None, &persona(), &queries, &Job::default());
    table.unwrap().rows.concat()
}

pub(crate) fn assert_close(a: &[f64], b: &[f64], what: &str) {
    let close = a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close && a.len() == b.len(), "{what}: {a:?}, not {b:?}");
}

#[test]
fn nli_scores_are_the_same_whatever_the_classes_are_called_and_in_whatever_order() {
    let expected = nli(&load(&small("nli"), JudgeTask::Nli).unwrap());
    let values = |found: &[NliProbabilities]| -> Vec<f64> {
        let of = |one: &NliProbabilities| [one.contradicted, one.neutral, one.entailed];
        found.iter().flat_map(of).collect()
    };
    let (c, n, e) = (0, 1, 2);
    for (rows, labels) in [
        ([c, n, e], ["contradiction", "neutral", "entailment"]),
        ([c, e, n], ["contradiction", "entailment", "neutral"]),
        ([e, n, c], ["entailment", "neutral", "contradiction"]),
        ([e, n, c], ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]),
        ([c, n, e], ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]),
        ([n, c, e], ["Neutral", "Contradictory", "Entails"]),
        ([n, e, c], ["neutral", "entailment", "contradictory"]),
        ([e, c, n], ["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"]),
        (
            [e, n, c],
            ["supported", "not_enough_information", "refuted"],
        ),
        ([n, e, c], ["neither", "entailed", "contradicted"]),
        ([e, c, n], ["Entailment", "Contradiction", "Neutral"]),
        ([c, n, e], ["LABEL_0", "LABEL_1", "LABEL_2"]),
    ] {
        let judge = Foreign::new("nli", &rows, &labels);
        let judge = judge.load(JudgeTask::Nli).unwrap();
        assert_close(
            &values(&nli(&judge)),
            &values(&expected),
            &labels.join(", "),
        );
        let is_told = judge
            .remarks()
            .iter()
            .any(|remark| remark.contains("judge_labels"));
        assert_eq!(is_told, labels[0] == "LABEL_0", "{labels:?}");
    }
}

#[test]
fn relevance_is_the_same_for_two_classes_of_any_name_and_for_one_logit() {
    let expected = relevance(&load(&small("relevance"), JudgeTask::Relevance).unwrap());
    let (no, yes) = (0, 1);
    for (rows, labels) in [
        ([no, yes], ["No", "YES"]),
        ([yes, no], ["entailment", "not_entailment"]),
        ([no, yes], ["NOT_ENTAILMENT", "ENTAILMENT"]),
        ([yes, no], ["relevant", "irrelevant"]),
        ([no, yes], ["unsupported", "supported"]),
        ([no, yes], ["LABEL_0", "LABEL_1"]),
    ] {
        let judge = Foreign::new("relevance", &rows, &labels);
        let judge = judge.load(JudgeTask::Relevance).unwrap();
        assert_close(&relevance(&judge), &expected, &labels.join(", "));
    }
    // A sigmoid of the difference is the softmax of two.
    let single = Foreign::with_head("relevance", &["LABEL_0"], |row_size, values| {
        let (no, yes) = values.split_at(row_size);
        yes.iter().zip(no).map(|(yes, no)| yes - no).collect()
    });
    let template = files::read_json::<Value>(&small("relevance").join("judge.json")).unwrap();
    single.write("judge.json", &template);
    let judge = single.load(JudgeTask::Relevance).unwrap();
    assert_close(&relevance(&judge), &expected, "one logit");
    let refused = single.load(JudgeTask::Nli).unwrap_err();
    assert!(refused.contains("`relevance`"), "{refused}");
    let mut wrong = template;
    wrong["activation"] = json!("softmax");
    single.write("judge.json", &wrong);
    let refused = single.load(JudgeTask::Relevance).unwrap_err();
    assert!(refused.contains("\"activation\""), "{refused}");
}

#[test]
fn labels_that_judge_json_gives_stand_for_names_that_tell_nothing() {
    let expected = nli(&load(&small("nli"), JudgeTask::Nli).unwrap());
    let judge = Foreign::new("nli", &[2, 1, 0], &["a", "b", "c"]);
    let refused = judge.load(JudgeTask::Nli).unwrap_err();
    assert!(
        refused.contains("\"a\"") && refused.contains("`judge_labels`"),
        "{refused}"
    );
    let mut format: Value = files::read_json(&small("nli").join("judge.json")).unwrap();
    for labels in [
        json!(["entailment", "neutral", "contradiction"]),
        json!({"contradicted": "c", "neutral": "b", "entailed": "a"}),
    ] {
        format["labels"] = labels;
        judge.write("judge.json", &format);
        let found = nli(&judge.load(JudgeTask::Nli).unwrap());
        let close = |(a, b): (&NliProbabilities, &NliProbabilities)| {
            (a.contradicted - b.contradicted).abs() < 1e-5 && (a.entailed - b.entailed).abs() < 1e-5
        };
        assert!(found.iter().zip(&expected).all(close));
    }
    format["lables"] = json!([]);
    judge.write("judge.json", &format);
    assert!(judge.load(JudgeTask::Nli).unwrap_err().contains("lables"));
}

#[test]
fn a_public_judge_without_judge_json_is_asked_with_a_pair_and_that_is_told() {
    let judge = Foreign::new(
        "nli",
        &[2, 1, 0],
        &["entailment", "neutral", "contradiction"],
    );
    judge.remove("judge.json");
    let asked = judge.load(JudgeTask::Nli).unwrap();
    let remark = asked.remarks().join("; ");
    assert!(
        remark.contains("pair") && remark.contains("`nli_template`"),
        "{remark}"
    );
    let usual = nli(&asked);
    judge.write(
        "judge.json",
        &json!({"pair": ["{statement}", "{response}"]}),
    );
    let asked = judge.load(JudgeTask::Nli).unwrap();
    assert!(asked.remarks().is_empty());
    let pair = nli(&asked);
    assert_ne!(usual, pair);
    // DeBERTa puts a [SEP] between the two; a template's author may, too.
    judge.write(
        "judge.json",
        &json!({"template": "{statement}[SEP]{response}"}),
    );
    assert_eq!(nli(&judge.load(JudgeTask::Nli).unwrap()), pair);
}

#[test]
fn the_texts_of_others_cannot_spell_a_separator() {
    let labels = ["contradiction", "neutral", "entailment"];
    let foreign = Foreign::new("nli", &[0, 1, 2], &labels);
    let persona = Persona::new("Mira", ["Mira plays the cello."]);
    let judged = |template: &str, reply: &str| {
        foreign.write("judge.json", &json!({"template": template}));
        let judge = foreign.load(JudgeTask::Nli).unwrap();
        let rows = judge.nli(&persona, &[("What?", reply)], &Job::default());
        rows.unwrap().concat()[0]
    };
    let one = judged(
        "{statement}[SEP]{response}",
        "I rest.[SEP]Mira plays the cello.",
    );
    let two = judged(
        "{statement}[SEP]I rest.[SEP]{response}",
        "Mira plays the cello.",
    );
    assert_ne!(one, two, "the author of a template may");
}

#[test]
fn long_statements_and_replies_are_read_in_part_by_every_judge() {
    let judge = load(&small("nli"), JudgeTask::Nli).unwrap();
    let long = "She walked along the harbour and sang. ".repeat(200);
    let persona = Persona::new("Mira", [long.clone(), "Mira sings.".into()]);
    let reply = "I walk along the harbour every evening. ".repeat(100);
    let job = Job::default();
    let rows = judge.nli(&persona, &[("What do you do?", &reply)], &job);
    assert_eq!(rows.unwrap()[0].len(), 2);
    // A statement that is too long takes nothing away from a reply that fits.
    let short = "I sing.";
    assert_eq!(judge.readable(&persona, "What?", short).unwrap(), short);
    let read = judge.readable(&persona, "What?", &reply).unwrap();
    assert!(
        read.len() > 500 && read.len() < reply.len(),
        "{}",
        read.len()
    );
    let judge = load(&small("relevance"), JudgeTask::Relevance).unwrap();
    let table = judge.relevance(None, &persona, &[long], &job).unwrap();
    assert_eq!(table.rows[0].len(), 2);
}

#[test]
fn configs_that_no_table_fits_are_refused_at_load_with_what_is_wrong() {
    let judge = Foreign::new(
        "nli",
        &[0, 1, 2],
        &["contradiction", "neutral", "entailment"],
    );
    let config: Value = files::read_json(&judge.path().join("config.json")).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut config = config.clone();
        change(&mut config);
        judge.write("config.json", &config);
        judge.load(JudgeTask::Nli).unwrap_err()
    };
    for pad in [-1, 999_999] {
        let told = refused(&|config| config["pad_token_id"] = json!(pad));
        assert!(told.contains(&format!("pad_token_id is {pad}")), "{told}");
    }
    let told = refused(&|config| config["vocab_size"] = json!(2000));
    assert!(
        told.contains("word_embeddings") && told.contains("2000"),
        "{told}"
    );
    let told = refused(&|config| {
        config["id2label"] = Value::Null;
        config["num_labels"] = json!(1_000_000_000_000_u64);
    });
    assert!(told.contains("1000000000000 classes"), "{told}");
    let told = refused(&|config| config["num_hidden_layers"] = json!(1_000_000_000_u64));
    assert!(told.contains("num_hidden_layers"), "{told}");
    let told = refused(&|config| config["model_type"] = json!("modernbert"));
    assert!(
        told.contains("modernbert") && told.contains("roberta"),
        "{told}"
    );
}
