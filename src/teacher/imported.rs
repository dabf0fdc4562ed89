//! Imports the original program's data, so that answers that were paid for need not be bought again.
//!
//! The original keeps each stage in a JSON array, `{character}.json` and so on; [`import`] turns them into this crate's
//! records, and [`Imported`] is a teacher that serves only those.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::persona::{Nli, NliExample, Query, Relevance, RelevanceExample, Statement};
use crate::teacher::chat::read_label;
use crate::teacher::{Examples, Teacher};
use crate::{Error, Result, files};

/// Files of a folder with imported data.
const FILES: [&str; 4] = [
    "statements.jsonl",
    "queries.jsonl",
    "relevance.jsonl",
    "nli.jsonl",
];

#[derive(Deserialize)]
struct OldStatement {
    statement: String,
}

#[derive(Deserialize)]
struct OldQueries {
    statement: String,
    queries: Vec<String>,
}

#[derive(Deserialize)]
struct OldRelevance {
    statement: String,
    query: String,
    relevant: String,
}

#[derive(Deserialize)]
struct OldReplies {
    statement: String,
    query: String,
    nli: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OldNli {
    statement: String,
    query: String,
    response: String,
    label: String,
}

#[derive(Deserialize)]
struct OldPair {
    prompt: String,
    chosen: String,
    rejected: String,
}

/// Counts of imported records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportSummary {
    /// Persona statements.
    pub statements: usize,
    /// Queries made from them.
    pub queries: usize,
    /// Examples of relevance.
    pub relevance: usize,
    /// Examples of NLI.
    pub nli: usize,
    /// Preference pairs.
    pub pairs: usize,
    /// Labels that are none of those known.
    pub left_out: usize,
    /// The folder with all of it.
    pub folder: PathBuf,
}

/// Reads a character's files in `from`, the `statement` folder of the original, and writes them to the folder `to`.
///
/// # Errors
///
/// Fails if the folder has no statements of the character, or a file has another form; nothing is written then.
pub fn import(from: &Path, character: &str, to: &Path) -> Result<ImportSummary> {
    let path = |ending: &str| from.join(format!("{character}{ending}"));
    let statements: Vec<OldStatement> = array(&path(".json"))?.ok_or_else(|| {
        Error::Usage(format!(
            "there is no {}; name the folder of the original that has {character}.json, \
             {character}.query_relevant_to_statement.json and so on",
            path(".json").display()
        ))
    })?;
    let queries: Vec<OldQueries> =
        array(&path(".query_relevant_to_statement.json"))?.unwrap_or_default();
    let relevance: Vec<OldRelevance> = array(&path(".relevance.json"))?.unwrap_or_default();
    let judged: Option<Vec<OldNli>> = array(&path(".nli.v2.json"))?;
    let replies: Vec<OldReplies> = array(&path(".nli.json"))?.unwrap_or_default();
    let pairs: Vec<OldPair> = array(&path(".rag.dpo.json"))?.unwrap_or_default();

    let mut left_out = 0;
    let mut known = |label: Option<usize>| {
        left_out += usize::from(label.is_none());
        label
    };
    let statements: Vec<Statement> = statements
        .into_iter()
        .map(|old| Statement {
            statement: old.statement.trim().to_string(),
        })
        .collect();
    let queries: Vec<Query> = queries
        .into_iter()
        .flat_map(|old| {
            let statement = old.statement.trim().to_string();
            let query = move |query: String| Query::new(&statement, query.trim());
            old.queries.into_iter().map(query)
        })
        .collect();
    let relevance: Vec<RelevanceExample> = relevance
        .into_iter()
        .filter_map(|old| {
            let label = known(read_label(&old.relevant, &Relevance::NAMES))?;
            Some(RelevanceExample {
                statement: old.statement.trim().to_string(),
                query: old.query.trim().to_string(),
                label: [Relevance::No, Relevance::Yes][label],
            })
        })
        .collect();
    // The second file has labels judged from the replies; without it, the labels are those that the replies were asked for.
    let judged = judged.unwrap_or_else(|| {
        let labelled = replies.into_iter().flat_map(|old| {
            old.nli.into_iter().map(move |(label, response)| OldNli {
                statement: old.statement.clone(),
                query: old.query.clone(),
                response,
                label,
            })
        });
        labelled.collect()
    });
    let nli: Vec<NliExample> = judged
        .into_iter()
        .filter_map(|old| {
            let label = known(read_label(&old.label, &Nli::NAMES))?;
            Some(NliExample {
                statement: old.statement.trim().to_string(),
                query: old.query.trim().to_string(),
                response: old.response.trim().to_string(),
                label: [Nli::Contradicted, Nli::Neutral, Nli::Entailed][label],
            })
        })
        .collect();
    let pairs: Vec<serde_json::Value> = pairs
        .into_iter()
        .map(|old| json!({"prompt": old.prompt, "chosen": old.chosen, "rejected": old.rejected}))
        .collect();

    files::write_jsonl(&to.join(FILES[1]), &queries)?;
    files::write_jsonl(&to.join(FILES[2]), &relevance)?;
    files::write_jsonl(&to.join(FILES[3]), &nli)?;
    files::write_jsonl(&to.join("pairs.jsonl"), &pairs)?;
    // The statements go last: a folder that has them is whole.
    files::write_jsonl(&to.join(FILES[0]), &statements)?;
    Ok(ImportSummary {
        statements: statements.len(),
        queries: queries.len(),
        relevance: relevance.len(),
        nli: nli.len(),
        pairs: pairs.len(),
        left_out,
        folder: to.to_path_buf(),
    })
}

/// A JSON array, if the file is there.
fn array<T: DeserializeOwned>(path: &Path) -> Result<Option<Vec<T>>> {
    path.is_file().then(|| files::read_json(path)).transpose()
}

/// A teacher that serves imported data.
#[derive(Debug)]
pub struct Imported {
    version: String,
    statements: Vec<Statement>,
    queries: Vec<Query>,
    examples: Examples,
}

impl Imported {
    /// The file of the statements in a folder that [`import`] wrote.
    pub fn statements_path(folder: &Path) -> Result<PathBuf> {
        let path = folder.join(FILES[0]);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Usage(format!(
            "there is no {}; run `apc import` first",
            path.display()
        )))
    }

    /// Reads what [`import`] wrote to a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let statements = Self::statements_path(folder)?;
        let [_, queries, relevance, nli] = FILES.map(|name| folder.join(name));
        let mut texts = String::new();
        for path in [&statements, &queries, &relevance, &nli] {
            texts += &files::read_text(path)?;
        }
        let hash = files::checksum_of(texts);
        Ok(Self {
            version: format!("imported {}", &hash[..12]),
            statements: files::read_jsonl(&statements)?,
            queries: files::read_jsonl(&queries)?,
            examples: Examples {
                relevance: files::read_jsonl(&relevance)?,
                nli: files::read_jsonl(&nli)?,
            },
        })
    }
}

impl Teacher for Imported {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn rounds(&self) -> u64 {
        1
    }

    fn statements(&self, _character: &str, _page: &str) -> Result<Vec<Statement>> {
        Ok(self.statements.clone())
    }

    fn queries(
        &self,
        _character: &str,
        statement: &str,
        _asked: &[Query],
        _seed: u64,
    ) -> Result<Vec<Query>> {
        let own = self
            .queries
            .iter()
            .filter(|query| query.statement == statement);
        Ok(own.cloned().collect())
    }

    fn relevance(
        &self,
        _character: &str,
        statement: &str,
        queries: &[&str],
    ) -> Result<Option<Vec<Relevance>>> {
        let known = |query: &&str| {
            let examples = self.examples.relevance.iter();
            let mut of = examples.filter(|one| one.statement == statement && one.query == **query);
            of.next().map(|example| example.label)
        };
        Ok(queries.iter().map(known).collect())
    }

    fn replies(
        &self,
        _character: &str,
        query: &Query,
        _others: &[String],
        _seed: u64,
    ) -> Result<Option<Vec<NliExample>>> {
        let examples = self.examples.nli.iter();
        let of =
            examples.filter(|one| one.statement == query.statement && one.query == query.query);
        let replies: Vec<NliExample> = of.cloned().collect();
        Ok(Some(replies).filter(|replies| !replies.is_empty()))
    }

    fn nli(
        &self,
        _character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>> {
        let mut of = self.examples.nli.iter().filter(|one| {
            (
                one.statement.as_str(),
                one.query.as_str(),
                one.response.as_str(),
            ) == (statement, query, response)
        });
        Ok(of.next().map(|example| example.label))
    }

    fn examples(&self) -> Option<Examples> {
        Some(self.examples.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_original_become_records_and_odd_labels_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (
            folder.path().join("statement"),
            folder.path().join("imported"),
        );
        let write = |ending: &str, value: serde_json::Value| {
            files::write_json(&from.join(format!("Mira Sol{ending}")), &value).unwrap();
        };
        let error = import(&from, "Mira Sol", &to).unwrap_err().to_string();
        assert!(error.contains("Mira Sol.json"), "{error}");

        let (statement, query) = ("Mira sings.", "What do you do?");
        write(
            ".json",
            json!([{"character": "Mira Sol", "passage": "…", "statement": " Mira sings. "}]),
        );
        write(
            ".query_relevant_to_statement.json",
            json!([{"statement": statement, "queries": [query, "Do you sing?"]}]),
        );
        write(
            ".relevance.json",
            json!([
                {"character": "Mira Sol", "statement": statement, "query": query, "relevant": "yes"},
                {"statement": statement, "query": "Hi?", "relevant": "No."},
                {"statement": statement, "query": "Ho?", "relevant": "perhaps"},
            ]),
        );
        write(
            ".nli.json",
            json!([{"statement": statement, "query": query, "nli": {"entailed": "I sing.", "neutral": "Hm."}}]),
        );
        let summary = import(&from, "Mira Sol", &to).unwrap();
        assert_eq!((summary.statements, summary.queries), (1, 2));
        assert_eq!(
            (summary.relevance, summary.nli, summary.left_out),
            (2, 2, 1)
        );

        write(
            ".nli.v2.json",
            json!([{"statement": statement, "query": query, "response": "I dance.", "label": "contradict"}]),
        );
        write(
            ".rag.dpo.json",
            json!([{"prompt": "p", "chosen": "a<eos>", "rejected": "b<eos>"}]),
        );
        let summary = import(&from, "Mira Sol", &to).unwrap();
        assert_eq!((summary.nli, summary.pairs), (1, 1));
        let teacher = Imported::load(&to).unwrap();
        assert_eq!(teacher.statements("", "").unwrap()[0].statement, statement);
        assert_eq!(teacher.queries("", statement, &[], 0).unwrap().len(), 2);
        assert_eq!(
            teacher.relevance("", statement, &[query, "Hi?"]).unwrap(),
            Some(vec![Relevance::Yes, Relevance::No])
        );
        assert_eq!(teacher.relevance("", statement, &["Ho?"]).unwrap(), None);
        let nli = &teacher.examples().unwrap().nli[0];
        assert_eq!(
            (nli.label, nli.response.as_str()),
            (Nli::Contradicted, "I dance.")
        );
    }
}
