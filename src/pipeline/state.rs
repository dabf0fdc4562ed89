//! What the records tell of a character: for programs that use what a run has made.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::files::{self, Precision};
use crate::persona::{JudgeFormat, JudgeLabels, JudgeTemplate, Opening, Similarity};
use crate::pipeline::layout::Layout;
use crate::pipeline::page::Page;
use crate::pipeline::record::Record;
use crate::text::Activation;
use crate::{Error, Result};

/// How a character's files stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharacterState {
    /// Whether a run has made statements.
    pub begun: bool,
    /// Whether the statements were made from their page as it is now; absent if there are none, or if the page is not
    /// there any more or cannot be read.
    pub statements_of_page: Option<bool>,
    /// Whether an adapter was trained.
    pub trained: bool,
    /// Whether it was trained on pairs that were made from the statements as they are now; absent if there is none.
    pub adapter_matches: Option<bool>,
}

/// Returns how a character's files in `output` stand to the page that they were made from and to each other.
///
/// - inside: the page about the character that travels inside the program, if there is one; it is looked at where the
///   statements were made from such a page, and the file of the page otherwise.
///
/// # Errors
///
/// A file that cannot be read.
pub fn state_of(output: &Path, character: &str, inside: Option<&Page>) -> Result<CharacterState> {
    let layout = Layout::new(output, character);
    let record = |stage: &str| Record::complete(&layout.record(stage));
    let (statements, pairs, dpo) = (record("statements")?, record("pairs")?, record("dpo")?);
    let adapter = layout.adapter();
    let trained = adapter.join("adapter_config.json").is_file()
        && adapter.join("adapter_model.safetensors").is_file();
    let statements = statements.filter(|_| layout.statements().is_file());
    let statements_of_page = statements.as_ref().and_then(|record| {
        let now = match record.about.get("page_reference")?.as_str()? {
            Page::INSIDE => inside?.hash().to_string(),
            path => Page::read(&output.join(path), character)
                .ok()?
                .hash()
                .to_string(),
        };
        Some(record.inputs.get("page")?.as_str()? == now)
    });
    let reads = |record: &Option<Record>, input: &str, path: &Path| -> Result<bool> {
        let read = record.as_ref().and_then(|record| record.inputs.get(input));
        let Some(read) = read.and_then(Value::as_str).filter(|_| path.is_file()) else {
            return Ok(false);
        };
        Ok(read == files::checksum(path)?)
    };
    let adapter_matches = match trained {
        true => Some(
            reads(&pairs, "statements", &layout.statements())?
                && reads(&dpo, "pairs", &layout.pairs())?,
        ),
        false => None,
    };
    Ok(CharacterState {
        begun: statements.is_some(),
        statements_of_page,
        trained,
        adapter_matches,
    })
}

/// How a conversation with a character begins, by the card that its statements were made from; nothing if no run has made any, or
/// if there is no such card any more.
///
/// # Errors
///
/// A record that cannot be read.
pub fn opening_of(output: &Path, character: &str) -> Result<Option<Opening>> {
    let record = Record::complete(&Layout::new(output, character).record("statements"))?;
    let page = record.and_then(|record| {
        let reference = record.about.get("page_reference")?.as_str()?.to_string();
        let path = output.join(reference);
        path.is_file().then_some(path)
    });
    // Without a card that can be read, a conversation begins without a greeting.
    let page = page.and_then(|path| Page::read(&path, character).ok());
    Ok(page.map(|page| page.opening().clone()))
}

/// The characters in the folder `output` that have an adapter, in the order of their names.
///
/// # Errors
///
/// A folder that cannot be read; one that is not there has none.
pub fn trained_characters(output: &Path) -> Result<Vec<String>> {
    let models = output.join("models");
    if !models.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&models).map_err(Error::io("read", &models))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", &models))?;
        let is_trained = entry.path().join("adapter/adapter_config.json").is_file();
        names.extend(entry.file_name().into_string().ok().filter(|_| is_trained));
    }
    names.sort();
    Ok(names)
}

/// A judge that rewarded the replies that an adapter was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "UsedJson")]
pub struct UsedJudge {
    /// `embedded` with its own name, a name on the hub with its revision, or the path of a folder from the output folder.
    pub name: String,
    /// How it was asked and what its classes mean, if its files do not say so.
    pub format: JudgeFormat,
    /// How its weights were kept.
    pub precision: Precision,
}

/// What records tell of a judge.
#[derive(Deserialize)]
struct UsedJson {
    name: String,
    #[serde(default)]
    precision: Precision,
    template: Option<String>,
    pair: Option<[String; 2]>,
    labels: Option<JudgeLabels>,
    activation: Option<Activation>,
    similarity: Option<Similarity>,
}

impl From<UsedJson> for UsedJudge {
    fn from(json: UsedJson) -> Self {
        let text = json.template.map(JudgeTemplate::Text);
        let template = text.or(json.pair.map(JudgeTemplate::Pair));
        Self {
            name: json.name,
            format: JudgeFormat {
                template,
                labels: json.labels,
                activation: json.activation,
                similarity: json.similarity,
            },
            precision: json.precision,
        }
    }
}

/// What a character's adapter was trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedWith {
    /// The base model, named as [`UsedJudge::name`].
    pub base: String,
    /// The relevance judge.
    pub relevance: UsedJudge,
    /// The NLI judge.
    pub nli: UsedJudge,
    /// How the base's weights were kept.
    pub precision: Precision,
    /// How many statements the prompts had at most; absent if the record does not tell.
    pub rag_top_k: Option<usize>,
    /// How relevant they were at least; absent if the record does not tell.
    pub min_relevance: Option<f64>,
    /// The most turns of the conversations in them.
    pub turns: usize,
}

/// Returns what a character's adapter in `output` was trained with; nothing if it is untrained, or was trained before
/// records told.
///
/// # Errors
///
/// A field of a record that is not as the program writes it.
pub fn trained_with(output: &Path, character: &str) -> Result<Option<TrainedWith>> {
    let layout = Layout::new(output, character);
    let record = |stage: &str| Record::complete(&layout.record(stage));
    let (relevance, pairs, dpo) = (record("relevance-table")?, record("pairs")?, record("dpo")?);
    let (Some(relevance), Some(pairs), Some(dpo)) = (relevance, pairs, dpo) else {
        return Ok(None);
    };
    let [of_relevance, of_pairs, of_dpo] =
        ["relevance-table", "pairs", "dpo"].map(|stage| layout.record(stage));
    let base = field(&of_dpo, &dpo.about, "model_name")?;
    let judges = [
        field(&of_relevance, &relevance.about, "judge")?,
        field(&of_pairs, &pairs.about, "judge")?,
    ];
    let dtype = field(&of_dpo, &dpo.inputs, "dtype")?;
    let quantization = field(&of_dpo, &dpo.inputs, "quantization")?;
    let (Some(base), [Some(relevance), Some(nli)], Some(dtype), Some(quantization)) =
        (base, judges, dtype, quantization)
    else {
        return Ok(None);
    };
    Ok(Some(TrainedWith {
        base,
        relevance,
        nli,
        precision: Precision {
            dtype,
            quantization,
            embeddings: field(&of_dpo, &dpo.inputs, "embeddings")?.unwrap_or_default(),
        },
        rag_top_k: checked(
            &of_pairs,
            &pairs.inputs,
            "rag_top_k",
            "must be 1 or more",
            |n: &usize| *n > 0,
        )?,
        min_relevance: checked(
            &of_pairs,
            &pairs.inputs,
            "min_relevance",
            "must be from 0 to 1",
            |share: &f64| (0.0..=1.0).contains(share),
        )?,
        turns: field(&of_dpo, &dpo.about, "turns")?.unwrap_or(1),
    }))
}

/// A field of the record in `path` whose value must satisfy `is_right`; none if it is not there.
fn checked<T: DeserializeOwned>(
    path: &Path,
    fields: &serde_json::Map<String, Value>,
    name: &str,
    must_be: &str,
    is_right: impl Fn(&T) -> bool,
) -> Result<Option<T>> {
    let found = field(path, fields, name)?;
    match found.as_ref().is_none_or(is_right) {
        true => Ok(found),
        false => Err(damaged_field(path, name, &fields[name], must_be)),
    }
}

/// A field of the record in `path`; none if it is not there.
fn field<T: DeserializeOwned>(
    path: &Path,
    fields: &serde_json::Map<String, Value>,
    name: &str,
) -> Result<Option<T>> {
    let Some(value) = fields.get(name) else {
        return Ok(None);
    };
    let read = T::deserialize(value).map(Some);
    read.map_err(|error| damaged_field(path, name, value, &error.to_string()))
}

/// The error for a field that is not as the program writes it.
fn damaged_field(path: &Path, name: &str, value: &Value, why: &str) -> Error {
    let reason =
        format!("{name} is {value}: {why}; remove this file and run the same training again");
    Error::invalid(path, reason)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::files::{self, Dtype};

    /// Files and records as a run leaves them.
    fn made(output: &Path, page: &Page) -> Layout {
        let layout = Layout::new(output, "Mira");
        files::create_dir(&layout.data).unwrap();
        files::create_dir(&layout.adapter()).unwrap();
        for path in [layout.statements(), layout.pairs()] {
            fs::write(path, "{}\n").unwrap();
        }
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::write(layout.adapter().join(name), "{}").unwrap();
        }
        let hash = files::checksum_of("{}\n");
        let judge = json!({"judge": {"name": "embedded"}});
        let precision = json!({"pairs": hash, "dtype": "bfloat16", "quantization": "nf4"});
        for (stage, inputs, about) in [
            (
                "statements",
                json!({"page": page.hash()}),
                json!({"page_name": page.name(), "page_reference": page.reference(output)}),
            ),
            ("relevance-table", json!({}), judge.clone()),
            (
                "pairs",
                json!({"statements": hash, "rag_top_k": 3, "min_relevance": 0.25}),
                judge,
            ),
            ("dpo", precision, json!({"model_name": "a/b@0123"})),
        ] {
            let record = json!({"complete": true, "inputs": inputs, "about": about});
            files::write_json(&layout.record(stage), &record).unwrap();
        }
        layout
    }

    #[test]
    fn a_newer_page_and_an_adapter_of_other_statements_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("pages");
        fs::create_dir(&pages).unwrap();
        let [path, output] = ["pages/Mira.txt", "out"].map(|name| folder.path().join(name));
        fs::write(&path, "Mira sings.").unwrap();
        let state = |page: Option<&Page>| state_of(&output, "Mira", page).unwrap();
        let seen = |of_page: Option<bool>, trained, matches| CharacterState {
            begun: trained || of_page.is_some(),
            statements_of_page: of_page,
            trained,
            adapter_matches: matches,
        };
        assert_eq!(state(None), seen(None, false, None), "nothing is made");
        let layout = made(&output, &Page::read(&path, "Mira").unwrap());
        let inside = |text| Page::new("Mira.txt", text);
        // A page of the same name somewhere else is another one.
        assert_eq!(
            state(Some(&inside("Mira swims."))),
            seen(Some(true), true, Some(true))
        );
        fs::write(&path, "Mira swims.").unwrap();
        assert_eq!(state(None), seen(Some(false), true, Some(true)));
        fs::remove_file(&path).unwrap();
        assert_eq!(state(None), seen(None, true, Some(true)));
        for path in [layout.pairs(), layout.statements()] {
            fs::write(&path, "{\"other\": 1}\n").unwrap();
            assert_eq!(state(None).adapter_matches, Some(false), "{path:?}");
            fs::write(&path, "{}\n").unwrap();
        }
        let record = layout.record("statements");
        let text = fs::read_to_string(&record).unwrap();
        assert!(text.contains("\"../pages/Mira.txt\""), "{text}");
        fs::remove_file(layout.adapter().join("adapter_model.safetensors")).unwrap();
        let untrained = state(None);
        assert!(untrained.begun && !untrained.trained);
        assert_eq!(untrained.adapter_matches, None);
    }

    #[test]
    fn a_page_inside_the_program_is_compared_with_the_one_that_is_inside_now() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |text| Page::new("Mira.txt", text);
        made(folder.path(), &inside("Mira sings."));
        let of_page = |page: Option<&Page>| {
            state_of(folder.path(), "Mira", page)
                .unwrap()
                .statements_of_page
        };
        assert_eq!(of_page(Some(&inside("Mira sings."))), Some(true));
        assert_eq!(of_page(Some(&inside("Mira swims."))), Some(false));
        assert_eq!(of_page(None), None);
    }

    #[test]
    fn what_an_adapter_was_trained_with_is_read_from_the_records() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(trained_with(folder.path(), "Mira").unwrap(), None);
        let path = folder.path().join("Mira.txt");
        fs::write(&path, "Mira sings.").unwrap();
        made(folder.path(), &Page::read(&path, "Mira").unwrap());
        let with = trained_with(folder.path(), "Mira").unwrap().unwrap();
        let embedded = UsedJudge {
            name: "embedded".into(),
            format: JudgeFormat::default(),
            precision: Precision::default(),
        };
        assert_eq!((with.relevance, with.nli), (embedded.clone(), embedded));
        assert_eq!(with.base, "a/b@0123");
        assert_eq!(with.precision, Precision::from(Dtype::Bfloat16).in_nf4());
        assert_eq!((with.rag_top_k, with.min_relevance), (Some(3), Some(0.25)));

        let layout = Layout::new(folder.path(), "Mira");
        for (stage, place, value) in [
            ("relevance-table", "/about/judge", json!({"name": 7})),
            ("pairs", "/about/judge", json!("embedded")),
            ("pairs", "/inputs/rag_top_k", json!("3")),
            ("pairs", "/inputs/min_relevance", json!([])),
            ("pairs", "/inputs/rag_top_k", json!(0)),
            ("pairs", "/inputs/min_relevance", json!(7.5)),
            ("dpo", "/about/model_name", json!(1)),
            ("dpo", "/inputs/dtype", json!("f12")),
            ("dpo", "/inputs/quantization", json!(4)),
        ] {
            let record = layout.record(stage);
            let whole: Value = files::read_json(&record).unwrap();
            let mut damaged = whole.clone();
            *damaged.pointer_mut(place).unwrap() = value;
            files::write_json(&record, &damaged).unwrap();
            let told = trained_with(folder.path(), "Mira").unwrap_err().to_string();
            let (path, name) = (
                record.display().to_string(),
                place.rsplit('/').next().unwrap(),
            );
            assert!(told.contains(&path) && told.contains(name), "{told}");
            assert!(told.contains("remove this file"), "{told}");
            files::write_json(&record, &whole).unwrap();
        }
    }
}
