//! The stages from the page to the judges' tables.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::json;

use super::config::{Scale, TrainConfig};
use super::discriminators::{Discriminators, nli_data, relevance_data};
use super::finetune::FineTune;
use super::page::{find_page, read_page};
use super::stage::{Stage, file_hash, folder_hash, seed_for};
use super::train::locate;
use crate::persona::{Judge, JudgeTemplate, Query, RelevanceTable, Statement, judge_relevance};
use crate::progress::Job;
use crate::teacher::offline::matter_of;
use crate::teacher::{Teacher, some_others, teacher};
use crate::text::ByteFallback;
use crate::{Error, Result, files, hf};

/// The files of a character.
pub(super) struct Folders {
    pub(super) data: PathBuf,
    pub(super) models: PathBuf,
}

impl Folders {
    fn new(output: &Path, character: &str) -> Self {
        Self {
            data: output.join("data").join(character),
            models: output.join("models").join(character),
        }
    }

    fn stage(&self, name: &str) -> PathBuf {
        self.data.join("stages").join(format!("{name}.json"))
    }
}

/// What is known of a character, and what is asked.
pub(super) struct Persona {
    pub(super) statements: Vec<String>,
    /// Queries to train on.
    pub(super) queries: Vec<Query>,
    /// Queries to evaluate with.
    pub(super) held_out: Vec<Query>,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) device: &'a Device,
    pub(super) job: &'a Job,
    pub(super) folders: Folders,
    page: PathBuf,
    teacher: Box<dyn Teacher>,
    /// The folder of the Gemma that answers.
    pub(super) base: PathBuf,
    /// The stages that had something to do.
    pub(super) stages_run: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(config: &'a TrainConfig, device: &'a Device, job: &'a Job) -> Result<Self> {
        let page = match &config.wiki {
            Some(path) => path.clone(),
            None => find_page(&locate("wiki"), &config.character)?,
        };
        let base = match (&config.model, config.prp_scale) {
            (Some(folder), _) => folder.clone(),
            (None, Scale::Tiny) => locate("models/tiny/gemma"),
            (None, scale) => {
                let name = if scale == Scale::TwoB {
                    "gemma-1.1-2b-it"
                } else {
                    "gemma-1.1-7b-it"
                };
                return Err(Error::Usage(format!(
                    "--prp-scale needs google/{name}, which this version cannot download: \
                     download it yourself and name its folder with --model DIR"
                )));
            }
        };
        // A folder that is no model is told of before the first stage.
        hf::read_gemma_config(&base)?;
        hf::check_weights(&base)?;
        Ok(Self {
            teacher: teacher(&config.model_engine)?,
            folders: Folders::new(&config.output, &config.character),
            config,
            device,
            job,
            page,
            base,
            stages_run: Vec::new(),
        })
    }

    /// Opens a stage; tells of it when there is something to do.
    pub(super) fn open(
        &mut self,
        name: &str,
        inputs: serde_json::Value,
        outputs: &[PathBuf],
    ) -> Result<Stage> {
        self.job.check()?;
        let stage = Stage::open(
            &self.folders.stage(name),
            inputs,
            outputs,
            self.config.force,
        )?;
        if !stage.is_complete() {
            self.stages_run.push(name.to_string());
        }
        Ok(stage)
    }

    /// The statements of the page, and what is asked about them.
    pub(super) fn persona(&mut self) -> Result<Persona> {
        let character = &self.config.character;
        let path = self.folders.data.join("statements.jsonl");
        let page = read_page(&self.page)?;
        let inputs = json!({"character": character, "page": file_hash(&self.page)?, "teacher": self.teacher.version()});
        let mut stage = self.open("statements", inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let statements = self.teacher.statements(character, &page)?;
            if statements.len() < 2 {
                return Err(Error::invalid(
                    &self.page,
                    format!(
                        "only {} statements about {character} were found; write more whole sentences that name {character}",
                        statements.len()
                    ),
                ));
            }
            files::write_jsonl(&path, &statements)?;
            stage.complete()?;
        }
        let statements: Vec<Statement> = files::read_jsonl(&path)?;
        let statements: Vec<String> = statements
            .into_iter()
            .map(|record| record.statement)
            .collect();

        let statements_hash = file_hash(&path)?;
        let paths = ["queries", "held-out-queries"]
            .map(|name| self.folders.data.join(format!("{name}.jsonl")));
        let inputs = json!({"statements": statements_hash, "seed": self.config.seed, "teacher": self.teacher.version()});
        let mut stage = self.open("queries", inputs, &paths)?;
        if !stage.is_complete() {
            let (queries, held_out) = ask(
                self.teacher.as_ref(),
                character,
                &statements,
                self.config.seed,
            )?;
            files::write_jsonl(&paths[0], &queries)?;
            files::write_jsonl(&paths[1], &held_out)?;
            stage.complete()?;
            self.job.progress.note(&format!(
                "{} statements, {} queries, {} more held out",
                statements.len(),
                queries.len(),
                held_out.len()
            ));
        }
        Ok(Persona {
            statements,
            queries: files::read_jsonl(&paths[0])?,
            held_out: files::read_jsonl(&paths[1])?,
        })
    }

    /// The judges that reward: the embedded ones, or those fine-tuned on the teacher's data.
    pub(super) fn discriminators(
        &mut self,
        statements: &[String],
        queries: &[Query],
    ) -> Result<Discriminators> {
        let base = Discriminators {
            relevance: locate("models/tiny/relevance"),
            nli: locate("models/tiny/nli"),
        };
        if self.config.use_pretrained_discriminator {
            return Ok(base);
        }
        let (character, seed) = (&self.config.character, self.config.seed);
        let data = [
            self.folders.data.join("relevance.jsonl"),
            self.folders.data.join("nli.jsonl"),
        ];
        let inputs = json!({
            "queries": file_hash(&self.folders.data.join("queries.jsonl"))?,
            "seed": seed,
            "teacher": self.teacher.version(),
        });
        let mut stage = self.open("discriminator-data", inputs, &data)?;
        let relevance =
            relevance_data(self.teacher.as_ref(), character, statements, queries, seed)?;
        let nli = nli_data(self.teacher.as_ref(), character, statements, queries, seed)?;
        if !stage.is_complete() {
            files::write_jsonl(&data[0], &relevance)?;
            files::write_jsonl(&data[1], &nli)?;
            stage.complete()?;
        }
        let relevance_template = JudgeTemplate::load(&base.relevance)?;
        let nli_template = JudgeTemplate::load(&base.nli)?;
        let relevance_texts = relevance.iter().map(|example| {
            let text = relevance_template.render(character, &example.statement, &example.query, "");
            (text, example.label as usize)
        });
        let nli_texts = nli.iter().map(|example| {
            let text = nli_template.render(
                character,
                &example.statement,
                &example.query,
                &example.response,
            );
            (text, example.label as usize)
        });
        let own = Discriminators {
            relevance: self.folders.models.join("relevance"),
            nli: self.folders.models.join("nli"),
        };
        let epochs = [
            self.config.relevance_finetune_epoch,
            self.config.nli_finetune_epoch,
        ];
        let runs = [
            (
                "relevance",
                &base.relevance,
                &own.relevance,
                &data[0],
                epochs[0],
                relevance_texts.collect::<Vec<_>>(),
            ),
            (
                "nli",
                &base.nli,
                &own.nli,
                &data[1],
                epochs[1],
                nli_texts.collect::<Vec<_>>(),
            ),
        ];
        for (label, base, output, data, epochs, texts) in runs {
            let work = self.folders.models.join(format!("{label}.training"));
            let inputs = json!({"data": file_hash(data)?, "base": folder_hash(base)?, "epochs": epochs, "seed": seed});
            let mut stage = self.open(
                &format!("discriminator-{label}"),
                inputs,
                &[output.clone(), work.clone()],
            )?;
            if !stage.is_complete() {
                FineTune {
                    label,
                    base,
                    output,
                    work: &work,
                    epochs,
                    batch_size: 8,
                    learning_rate: 1e-5,
                    held_out: 0.2,
                    shuffle: true,
                    dropout: false,
                    byte_fallback: ByteFallback::Unknown,
                    seed,
                    record_steps: false,
                }
                .run(&texts, self.device, self.job)?;
                stage.complete()?;
            }
        }
        Ok(own)
    }

    /// The judges that grade took no part in the reward.
    pub(super) fn graders(&self) -> Discriminators {
        Discriminators {
            relevance: locate("models/tiny/evaluation/relevance"),
            nli: locate("models/tiny/evaluation/nli"),
        }
    }

    /// Relevance of every statement to every query by one judge, once; `files` are the names of the queries and the table.
    pub(super) fn relevance(
        &mut self,
        [asked, table]: [&str; 2],
        judge: &Path,
        statements: &[String],
        queries: &[Query],
    ) -> Result<RelevanceTable> {
        let path = self.folders.data.join(format!("{table}.jsonl"));
        let inputs = json!({
            "queries": file_hash(&self.folders.data.join(format!("{asked}.jsonl")))?,
            "judge": folder_hash(judge)?,
        });
        let mut stage = self.open(table, inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let judge = Judge::load_relevance(judge, self.device)?;
            let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
            let table = judge_relevance(
                &judge,
                &self.config.character,
                statements,
                &queries,
                self.job,
            )?;
            files::write_jsonl(&path, &table.rows)?;
            stage.complete()?;
        }
        Ok(RelevanceTable {
            rows: files::read_jsonl(&path)?,
        })
    }

    /// At most `limit` of the queries, drawn by seed, in their order.
    pub(super) fn some_of(&self, n_queries: usize, limit: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..n_queries).collect();
        let seed = seed_for(self.config.seed, &[2]);
        let mut some = some_others(&all, usize::MAX, limit, seed);
        some.sort_unstable();
        some
    }
}

/// Queries to train on, up to three for each statement, and queries that are held out.
///
/// What a statement is asked is split by what it comes to, so that no held-out query is one of the others in another
/// wording; of the wordings of a held-out query one is asked.
fn ask(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    seed: u64,
) -> Result<(Vec<Query>, Vec<Query>)> {
    /// Queries that a statement is trained with at most, and as many at most are held out.
    const QUERIES: usize = 3;
    /// A teacher repeats itself: so often is it asked.
    const ROUNDS: u64 = 8;
    let mut asked = HashSet::new();
    let (mut queries, mut held_out) = (Vec::new(), Vec::new());
    for (statement_idx, statement) in (0..).zip(statements) {
        let mut matters: Vec<(String, Vec<Query>)> = Vec::new();
        for round in 0..ROUNDS {
            if matters.len() >= 2 * QUERIES {
                break;
            }
            let seed = seed_for(seed, &[1, statement_idx, round]);
            for query in teacher.queries(character, statement, seed)? {
                let matter = matter_of(character, &query.query);
                match matters.iter_mut().find(|(known, _)| *known == matter) {
                    Some((_, wordings)) if !wordings.contains(&query) => wordings.push(query),
                    Some(_) => {}
                    // Another statement may have been asked the same.
                    None if !asked.insert(matter.clone()) => {}
                    None => matters.push((matter, vec![query])),
                }
            }
        }
        let seed = seed_for(seed, &[5, statement_idx]);
        let mut matters = some_others(&matters, usize::MAX, matters.len(), seed);
        let others = matters.split_off(matters.len().div_ceil(2));
        let first = others
            .into_iter()
            .filter_map(|(_, wordings)| wordings.into_iter().next());
        held_out.extend(first.take(QUERIES));
        // The first wording of each, then the second of each.
        let most = matters.iter().map(|(_, wordings)| wordings.len()).max();
        let in_turn = (0..most.unwrap_or(0)).flat_map(|place| {
            matters
                .iter()
                .filter_map(move |(_, wordings)| wordings.get(place))
        });
        queries.extend(in_turn.take(QUERIES).cloned());
    }
    Ok((queries, held_out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::Offline;

    #[test]
    fn held_out_queries_ask_what_no_other_query_asks() {
        let statements = [
            "Mira plays the cello in a café on Sundays.",
            "Mira's mother is a nurse.",
            "Mira was born in Bonn in 1990.",
            "Mira is afraid of the sea.",
        ]
        .map(str::to_string);
        let asked = |seed| ask(&Offline, "Mira", &statements, seed).unwrap();
        let (queries, held_out) = asked(1);
        let matters = |queries: &[Query]| -> HashSet<String> {
            let matters = queries.iter().map(|query| matter_of("Mira", &query.query));
            matters.collect()
        };
        assert!(matters(&queries).is_disjoint(&matters(&held_out)));
        assert_eq!(matters(&held_out).len(), held_out.len(), "{held_out:?}");
        assert!(held_out.len() >= statements.len(), "{held_out:?}");
        for statement in &statements {
            let own = queries.iter().filter(|query| query.statement == *statement);
            assert!((1..=3).contains(&own.count()), "{statement}");
        }
        assert_eq!(asked(1), (queries, held_out.clone()));
        assert_ne!(asked(2).1, held_out);
    }
}
