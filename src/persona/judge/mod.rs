//! The two discriminators: does a statement matter to a query, and does a reply follow from it?

mod cache;
mod published;

pub use cache::RelevanceCache;
pub use published::{find_judge, read_template};

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::parallel::Devices;
use crate::progress::Job;
use crate::text::{Classifier, TextProbabilities, filled};
use crate::{Error, Result, files};

/// Whether a statement matters to a query; the order is that of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relevance {
    /// It does not.
    No,
    /// It does.
    Yes,
}

impl Relevance {
    /// Both, by name.
    pub const NAMES: [&'static str; 2] = ["no", "yes"];
}

/// What a statement says of a reply; the order is that of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nli {
    /// The reply contradicts the statement.
    Contradicted,
    /// The statement leaves the reply open.
    Neutral,
    /// The reply follows from the statement.
    Entailed,
}

impl Nli {
    /// All three, by name.
    pub const NAMES: [&'static str; 3] = ["contradicted", "neutral", "entailed"];
}

/// What a judge judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeTask {
    /// Whether a statement matters to a query.
    Relevance,
    /// What a statement says of a reply.
    Nli,
}

impl JudgeTask {
    /// Its classes in the order of the logits.
    fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Relevance => &Relevance::NAMES,
            Self::Nli => &Nli::NAMES,
        }
    }

    /// The template of the judges that this program trains.
    pub fn template(self) -> JudgeTemplate {
        match self {
            Self::Relevance => JudgeTemplate::relevance(),
            Self::Nli => JudgeTemplate::nli(),
        }
    }
}

/// Where a judge is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeFolder {
    /// The folder of its weights.
    pub folder: PathBuf,
    /// How it is asked, in place of what its `judge.json` says.
    pub template: Option<JudgeTemplate>,
}

impl From<PathBuf> for JudgeFolder {
    fn from(folder: PathBuf) -> Self {
        Self {
            folder,
            template: None,
        }
    }
}

impl JudgeFolder {
    /// How the judge is asked.
    pub fn template(&self) -> Result<JudgeTemplate> {
        match &self.template {
            Some(template) => Ok(template.clone()),
            None => JudgeTemplate::load(&self.folder),
        }
    }
}

/// How statement, query and reply become the one text that a judge reads; lies beside its weights as `judge.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeTemplate {
    /// A text with `{character}`, `{statement}`, `{query}` and, for NLI, `{response}`.
    pub template: String,
}

impl JudgeTemplate {
    const FILE: &'static str = "judge.json";

    /// The template of the judges that this program trains: for relevance.
    pub fn relevance() -> Self {
        Self {
            template: "Statement: {statement} Question: {query}".into(),
        }
    }

    /// The template of the judges that this program trains: for NLI.
    pub fn nli() -> Self {
        Self {
            template: "Statement: {statement} Question: {query} Reply: {response}".into(),
        }
    }

    /// Whether a folder says how its judge is asked.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(Self::FILE).is_file()
    }

    /// Reads the template of a judge's folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE);
        if !path.is_file() {
            let reason = "has no judge.json, which says how statement and query become one text; \
                          add one: {\"template\": \"… {statement} … {query} … {response} …\"}, or name a file with \
                          --judge-templates";
            return Err(Error::invalid(folder, reason));
        }
        files::read_json(&path)
    }

    /// Writes the template into a judge's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::write_json(&folder.join(Self::FILE), self)
    }

    /// The text that the judge reads.
    pub fn render(&self, character: &str, statement: &str, query: &str, response: &str) -> String {
        let values = [character, statement, query, response];
        let (frame, gaps) = self.frame();
        let fillings: Vec<&str> = gaps.into_iter().map(|gap| values[gap]).collect();
        filled(&frame, &fillings)
    }

    /// What is before the placeholders, between them and behind them, and which placeholder each is: 0 for the character, 1
    /// for the statement, 2 for the query and 3 for the reply.
    fn frame(&self) -> (Vec<&str>, Vec<usize>) {
        const NAMES: [&str; 4] = ["{character}", "{statement}", "{query}", "{response}"];
        let mut rest = self.template.as_str();
        let (mut frame, mut gaps) = (Vec::new(), Vec::new());
        while let Some((at, gap)) = (0..NAMES.len())
            .filter_map(|gap| Some((rest.find(NAMES[gap])?, gap)))
            .min()
        {
            frame.push(&rest[..at]);
            gaps.push(gap);
            rest = &rest[at + NAMES[gap].len()..];
        }
        frame.push(rest);
        (frame, gaps)
    }
}

/// A discriminator with all it needs.
#[derive(Clone, Debug)]
pub struct Judge {
    classifier: Classifier,
    template: JudgeTemplate,
}

impl Judge {
    /// Reads a judge: for relevance of the classes no and yes, for NLI of contradicted, neutral and entailed.
    pub fn load(judge: &JudgeFolder, task: JudgeTask, devices: &Devices) -> Result<Self> {
        /// Longer texts than DeBERTa's own are no statement with a query and a reply, and take minutes to read.
        const MAX_TOKENS: usize = 512;
        let (folder, labels) = (&judge.folder, task.labels());
        let classifier = Classifier::load(folder, DType::F32, devices)?.with_max_tokens(MAX_TOKENS);
        let found = classifier.labels();
        if found.len() != labels.len() {
            let reason = format!(
                "has {} classes, but {} are needed: {}",
                found.len(),
                labels.len(),
                labels.join(", ")
            );
            return Err(Error::invalid(folder, reason));
        }
        let named = found.iter().any(|label| labels.contains(&label.as_str()));
        if named && !found.iter().eq(labels) {
            let reason = format!(
                "its classes are {}, not {}",
                found.join(", "),
                labels.join(", ")
            );
            return Err(Error::invalid(folder, reason));
        }
        Ok(Self {
            classifier,
            template: judge.template()?,
        })
    }

    /// How statement, query and reply become one text.
    pub fn template(&self) -> &JudgeTemplate {
        &self.template
    }

    /// The probabilities of the classes for each text; see [`Classifier::probabilities`].
    pub fn probabilities(&self, texts: &[String], label: &str, job: &Job) -> Result<Vec<Vec<f32>>> {
        let ids = self.classifier.encode(texts)?;
        self.classifier
            .probabilities(&ids, self.classifier.batch_tokens(), label, job)
    }

    /// As much of a reply, from its beginning, as it can read with the query and any of the statements.
    pub(crate) fn readable<'a>(
        &self,
        character: &str,
        statements: &[String],
        query: &str,
        response: &'a str,
    ) -> Result<&'a str> {
        let most = self.classifier.max_tokens();
        let mut response = response;
        loop {
            // A token has at least one byte, but for those that are added to every text.
            const ADDED: usize = 8;
            let bytes = |statement: &String| {
                let template = self.template.template.len() + ADDED;
                template + character.len() + statement.len() + query.len() + response.len()
            };
            if statements.iter().all(|statement| bytes(statement) <= most) {
                return Ok(response);
            }
            let texts = statements
                .iter()
                .map(|statement| [character, statement, query, response]);
            let ids = self.encode(&texts.collect::<Vec<_>>())?;
            let n_tokens = ids.iter().map(Vec::len).max().unwrap_or(0);
            if n_tokens <= most || response.is_empty() {
                return Ok(response);
            }
            let n_chars = response.chars().count();
            let kept = (n_chars * most / n_tokens).min(n_chars - 1);
            let end = response
                .char_indices()
                .nth(kept)
                .map_or(response.len(), |(at, _)| at);
            response = &response[..end];
        }
    }

    /// The ids of what it reads of characters, statements, queries and replies; a statement that comes again and again is
    /// brought into tokens once.
    fn encode(&self, texts: &[[&str; 4]]) -> Result<Vec<Vec<i32>>> {
        let (frame, gaps) = self.template.frame();
        let fillings: Vec<Vec<&str>> = texts
            .iter()
            .map(|values| gaps.iter().map(|&gap| values[gap]).collect())
            .collect();
        self.classifier.encode_filled(&frame, &fillings)
    }
}

/// P(relevant) of every statement for every query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelevanceTable {
    /// One row a query, one number a statement.
    pub rows: Vec<Vec<f64>>,
}

impl RelevanceTable {
    /// The indices of the `top_k` statements that matter most to a query, the most relevant first.
    pub fn retrieve(&self, query_idx: usize, top_k: usize) -> Vec<usize> {
        let row = &self.rows[query_idx];
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        order.truncate(top_k);
        order
    }
}

/// Judges every statement's relevance to every query, once; what is in the cache is not judged again.
pub fn judge_relevance(
    judge: &Judge,
    mut cache: Option<&mut RelevanceCache>,
    character: &str,
    statements: &[String],
    queries: &[String],
    job: &Job,
) -> Result<RelevanceTable> {
    let texts: Vec<[&str; 4]> = queries
        .iter()
        .flat_map(|query| statements.iter().map(move |statement| (statement, query)))
        .map(|(statement, query)| [character, statement, query, ""])
        .collect();
    let render = |[character, statement, query, response]: [&str; 4]| {
        let template = judge.template();
        template.render(character, statement, query, response)
    };
    let known = |text: &[&str; 4]| cache.as_ref().and_then(|cache| cache.get(&render(*text)));
    let mut relevant: Vec<Option<f64>> = texts.iter().map(known).collect();
    let text_idxs: Vec<usize> = (0..texts.len())
        .filter(|&text_idx| relevant[text_idx].is_none())
        .collect();
    let unknown: Vec<[&str; 4]> = text_idxs.iter().map(|&idx| texts[idx]).collect();
    if !unknown.is_empty() {
        let (ids, tokens) = (judge.encode(&unknown)?, judge.classifier.batch_tokens());
        let mut keep = |rows: &[TextProbabilities]| {
            for (place, row) in rows {
                let yes = f64::from(row[Relevance::Yes as usize]);
                relevant[text_idxs[*place]] = Some(yes);
                if let Some(cache) = &mut cache {
                    cache.insert(&render(unknown[*place]), yes)?;
                }
            }
            Ok(())
        };
        let judged = judge
            .classifier
            .judge(&ids, tokens, "relevance", job, &mut keep);
        // Also of a run that is stopped.
        if let Some(cache) = cache {
            cache.flush()?;
        }
        judged?;
    }
    let relevant: Vec<f64> = relevant.into_iter().flatten().collect();
    let rows = relevant.chunks(statements.len().max(1));
    Ok(RelevanceTable {
        rows: rows.map(<[f64]>::to_vec).collect(),
    })
}

/// P(contradicted), P(neutral), P(entailed) of every (query, reply) under every statement; one row a reply.
pub fn judge_nli(
    judge: &Judge,
    character: &str,
    statements: &[String],
    replies: &[(&str, &str)],
    job: &Job,
) -> Result<Vec<Vec<[f64; 3]>>> {
    let texts: Vec<[&str; 4]> = replies
        .iter()
        .flat_map(|reply| statements.iter().map(move |statement| (statement, reply)))
        .map(|(statement, &(query, response))| [character, statement, query, response])
        .collect();
    let (ids, tokens) = (judge.encode(&texts)?, judge.classifier.batch_tokens());
    let most = judge.classifier.max_tokens();
    if let Some(place) = ids.iter().position(|ids| ids.len() > most) {
        let (response, n_tokens) = (texts[place][3], ids[place].len());
        let begin: String = response.chars().take(40).collect();
        return Err(Error::Usage(format!(
            "with a statement and the query the reply \"{begin}…\" has {n_tokens} tokens, but the judge reads at most \
             {most}; shorten it, or lower --max-new-tokens"
        )));
    }
    let probabilities = judge
        .classifier
        .probabilities(&ids, tokens, "entailment", job)?;
    let triple = |row: &Vec<f32>| [f64::from(row[0]), f64::from(row[1]), f64::from(row[2])];
    Ok(probabilities
        .chunks(statements.len().max(1))
        .map(|row| row.iter().map(triple).collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_placeholder_inside_a_value_stays_as_it_is() {
        let text = JudgeTemplate::nli().render("Mira", "Mira sings {query}.", "What?", "I sing.");
        assert_eq!(
            text,
            "Statement: Mira sings {query}. Question: What? Reply: I sing."
        );
    }

    #[test]
    fn a_text_that_comes_twice_has_its_own_probabilities_in_both_places() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
        let judge =
            Judge::load(&folder.into(), JudgeTask::Relevance, &Device::flex().into()).unwrap();
        let [long, short] = ["Mira plays the cello.", "Mira sings."].map(|statement| {
            judge
                .template
                .render("Mira", statement, "What do you play?", "")
        });
        let judged = |texts: &[&String]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).clone()).collect();
            judge.probabilities(&texts, "", &Job::default()).unwrap()
        };
        let apart = judged(&[&long, &short]);
        assert_ne!(apart[0], apart[1]);
        let twice = judged(&[&short, &long, &short, &long]);
        assert_eq!(
            twice,
            [&apart[1], &apart[0], &apart[1], &apart[0]].map(Clone::clone)
        );
    }

    #[test]
    fn a_reply_that_is_too_long_is_read_as_far_as_it_fits() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/nli");
        let judge = Judge::load(&folder.into(), JudgeTask::Nli, &Device::flex().into()).unwrap();
        let statements = [
            "Mira sings.".to_string(),
            "Mira plays the cello.".to_string(),
        ];
        let readable = |reply| judge.readable("Mira", &statements, "What?", reply).unwrap();
        assert_eq!(readable("I sing."), "I sing.");
        let long = "小雨喜欢下雨天。".repeat(60);
        let read = readable(&long);
        let (n_read, n_long) = (read.len(), long.len());
        assert!(long.starts_with(read), "{read}");
        assert!(n_read > 200 && n_read < n_long, "{n_read} of {n_long}");
        let judged = |reply: &str| {
            let reply = [("What?", reply)];
            judge_nli(&judge, "Mira", &statements, &reply, &Job::default())
        };
        let error = judged(&long).unwrap_err().to_string();
        assert!(
            error.contains("at most 512") && error.contains("小雨"),
            "{error}"
        );
        assert_eq!(judged(read).unwrap().len(), 1);
    }

    #[test]
    fn the_most_relevant_statements_come_first() {
        let table = RelevanceTable {
            rows: vec![vec![0.1, 0.9, 0.5, 0.9]],
        };
        assert_eq!(table.retrieve(0, 3), [1, 3, 2]);
    }
}
