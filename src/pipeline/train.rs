//! The main job: page → statements → queries → judges → preference pairs → adapter → evaluation.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::discriminators::{Discriminators, FineTune, nli_data, relevance_data};
use super::dpo::{DpoRun, DpoSummary, preference_pairs};
use super::evaluate::Evaluation;
use super::page::{find_page, read_page};
use super::replies::{SampledReplies, Sampler, sample_replies};
use super::stage::{Stage, file_hash, folder_hash, seed_for};
use crate::nn::LoraConfig;
use crate::persona::{
    Judge, JudgeTemplate, PreferencePair, Query, RelevanceTable, Statement, judge_relevance,
};
use crate::progress::Job;
use crate::teacher::{Teacher, teacher};
use crate::text::{Sampling, Tokenizer};
use crate::train::DpoConfig;
use crate::{Error, Result, files, hf};

/// Which Gemma answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The embedded one.
    Tiny,
    /// gemma-1.1-2b-it.
    TwoB,
    /// gemma-1.1-7b-it.
    SevenB,
}

/// Settings of the main job; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The character's name.
    pub character: String,
    /// The page, in place of `wiki/{character}.txt`.
    pub wiki: Option<PathBuf>,
    /// Folder of `data/{character}` and `models/{character}`.
    pub output: PathBuf,
    /// Who writes statements and queries.
    pub model_engine: String,
    /// Which Gemma answers.
    pub prp_scale: Scale,
    /// A checkpoint folder in its place.
    pub model: Option<PathBuf>,
    /// Whether the judges are used as they are, or fine-tuned on the teacher's data.
    pub use_pretrained_discriminator: bool,
    /// Epochs of the relevance judge's fine-tuning.
    pub relevance_finetune_epoch: usize,
    /// Epochs of the NLI judge's fine-tuning.
    pub nli_finetune_epoch: usize,
    /// Statements in the prompt.
    pub rag_top_k: usize,
    /// Queries to which two replies are sampled.
    pub max_dpo_data: usize,
    /// Epochs of DPO.
    pub prp_dpo_epoch: usize,
    /// Rank of the factors.
    pub lora_rank: usize,
    /// Numerator of their scaling; the rank if absent.
    pub lora_alpha: Option<f64>,
    /// First learning rate of DPO; it falls to zero in a line.
    pub learning_rate: f64,
    /// DPO's β.
    pub beta: f64,
    /// Pairs in a batch.
    pub batch_size: usize,
    /// Batches in an optimizer step.
    pub accumulate: usize,
    /// Queries held out for the evaluation, at most.
    pub max_eval_queries: usize,
    /// Replies to each of them, before and after.
    pub eval_replies: usize,
    /// Longest reply.
    pub max_new_tokens: usize,
    /// Everything random comes from it.
    pub seed: u64,
    /// Whether to throw away what was made with other settings.
    pub force: bool,
}

impl TrainConfig {
    /// The defaults for a character.
    pub fn new(character: &str) -> Self {
        Self {
            character: character.to_string(),
            wiki: None,
            output: PathBuf::from("."),
            model_engine: "offline".to_string(),
            prp_scale: Scale::Tiny,
            model: None,
            use_pretrained_discriminator: true,
            relevance_finetune_epoch: 5,
            nli_finetune_epoch: 10,
            rag_top_k: 5,
            max_dpo_data: 100,
            prp_dpo_epoch: 10,
            lora_rank: 32,
            lora_alpha: None,
            learning_rate: 2e-4,
            beta: 0.1,
            batch_size: 4,
            accumulate: 2,
            max_eval_queries: 40,
            eval_replies: 4,
            max_new_tokens: 64,
            seed: 42,
            force: false,
        }
    }

    fn check(&self) -> Result<()> {
        let zero = [
            ("--rag-top-k", self.rag_top_k),
            ("--lora-rank", self.lora_rank),
            ("--max-dpo-data", self.max_dpo_data),
            ("--prp-dpo-epoch", self.prp_dpo_epoch),
            ("--batch-size", self.batch_size),
            ("--accumulate", self.accumulate),
            ("--max-new-tokens", self.max_new_tokens),
            ("--max-eval-queries", self.max_eval_queries),
            ("--eval-replies", self.eval_replies),
            ("--relevance-finetune-epoch", self.relevance_finetune_epoch),
            ("--nli-finetune-epoch", self.nli_finetune_epoch),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Usage(format!("{name} is 0, but must be at least 1")));
        }
        for (name, value) in [
            ("--learning-rate", self.learning_rate),
            ("--beta", self.beta),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(Error::Usage(format!(
                    "{name} is {value}, but must be above 0 and at most 1"
                )));
            }
        }
        Ok(())
    }
}

/// What the main job made, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The character's name.
    pub character: String,
    /// Persona statements.
    pub statements: usize,
    /// Queries made from them.
    pub queries: usize,
    /// Queries to which replies were sampled.
    pub sampled: usize,
    /// What came of the pairs.
    pub dpo: DpoSummary,
    /// Before and after.
    pub evaluation: Evaluation,
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// Stages that had something to do; none if all was complete.
    pub stages_run: Vec<String>,
}

/// A folder of the embedded models or pages: below the current folder, or where the program was built.
pub fn locate(relative: &str) -> PathBuf {
    let here = PathBuf::from(relative);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    if here.exists() || !built.exists() {
        here
    } else {
        built
    }
}

/// The files of a character.
struct Folders {
    data: PathBuf,
    models: PathBuf,
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

/// Runs all stages, from wherever an earlier run stopped.
pub fn train(config: &TrainConfig, device: &Device, job: &Job) -> Result<TrainSummary> {
    config.check()?;
    let mut run = Run::new(config, device, job)?;
    let (statements, queries) = run.persona()?;
    let judges = run.discriminators(&statements, &queries)?;
    let retrieval = run.relevance("relevance-table", &judges.relevance, &statements, &queries)?;
    let (train_idxs, eval_idxs) = run.split(queries.len())?;
    let graders = run.graders();
    let grading = run.relevance(
        "relevance-table-evaluation",
        &graders.relevance,
        &statements,
        &queries,
    )?;

    let shared = Shared {
        statements: &statements,
        queries: &queries,
        retrieval: &retrieval,
    };
    let pairs = run.pairs(&shared, &judges, &train_idxs)?;
    let before = run.evaluate(
        "evaluation-before",
        &shared,
        &graders,
        &grading,
        &eval_idxs,
        None,
    )?;
    let dpo = run.dpo(&pairs)?;
    let adapter = run.folders.models.join("adapter");
    let after = run.evaluate(
        "evaluation-after",
        &shared,
        &graders,
        &grading,
        &eval_idxs,
        Some(&adapter),
    )?;

    let summary = TrainSummary {
        character: config.character.clone(),
        statements: statements.len(),
        queries: queries.len(),
        sampled: train_idxs.len(),
        dpo,
        evaluation: Evaluation::new(&before, &after, config.seed),
        adapter,
        stages_run: run.stages_run,
    };
    files::write_json(&run.folders.data.join("summary.json"), &summary)?;
    Ok(summary)
}

/// What every sampling needs.
struct Shared<'a> {
    statements: &'a [String],
    queries: &'a [Query],
    retrieval: &'a RelevanceTable,
}

struct Run<'a> {
    config: &'a TrainConfig,
    device: &'a Device,
    job: &'a Job,
    folders: Folders,
    page: PathBuf,
    teacher: Box<dyn Teacher>,
    base: PathBuf,
    stages_run: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(config: &'a TrainConfig, device: &'a Device, job: &'a Job) -> Result<Self> {
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
        hf::read_gemma_config(&base)?;
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
    fn open(
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

    fn persona(&mut self) -> Result<(Vec<String>, Vec<Query>)> {
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
        let path = self.folders.data.join("queries.jsonl");
        let inputs = json!({"statements": statements_hash, "seed": self.config.seed, "teacher": self.teacher.version()});
        let mut stage = self.open("queries", inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let mut queries = Vec::new();
            for (statement_idx, statement) in statements.iter().enumerate() {
                let seed = seed_for(self.config.seed, &[1, statement_idx as u64]);
                queries.extend(
                    self.teacher
                        .queries(&self.config.character, statement, seed)?,
                );
            }
            files::write_jsonl(&path, &queries)?;
            stage.complete()?;
            self.job.progress.note(&format!(
                "{} statements, {} queries",
                statements.len(),
                queries.len()
            ));
        }
        Ok((statements, files::read_jsonl(&path)?))
    }

    /// The judges that reward: the embedded ones, or those fine-tuned on the teacher's data.
    fn discriminators(
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
                    seed,
                }
                .run(&texts, self.device, self.job)?;
                stage.complete()?;
            }
        }
        Ok(own)
    }

    /// The judges that grade took no part in the reward.
    fn graders(&self) -> Discriminators {
        Discriminators {
            relevance: locate("models/tiny/evaluation/relevance"),
            nli: locate("models/tiny/evaluation/nli"),
        }
    }

    /// Relevance of every statement to every query by one judge, once.
    fn relevance(
        &mut self,
        name: &str,
        judge: &Path,
        statements: &[String],
        queries: &[Query],
    ) -> Result<RelevanceTable> {
        let path = self.folders.data.join(format!("{name}.jsonl"));
        let inputs = json!({
            "queries": file_hash(&self.folders.data.join("queries.jsonl"))?,
            "judge": folder_hash(judge)?,
        });
        let mut stage = self.open(name, inputs, std::slice::from_ref(&path))?;
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

    /// Which queries are trained on, and which are held out: a quarter, but no more than the evaluation needs.
    fn split(&self, n_queries: usize) -> Result<(Vec<usize>, Vec<usize>)> {
        let order: Vec<usize> = (0..n_queries).collect();
        let held_out = (n_queries / 4).clamp(1, self.config.max_eval_queries);
        let mut shuffled = crate::teacher::some_others(
            &order,
            usize::MAX,
            n_queries,
            seed_for(self.config.seed, &[2]),
        );
        let mut eval_idxs = shuffled.split_off(n_queries - held_out);
        shuffled.truncate(self.config.max_dpo_data);
        shuffled.sort_unstable();
        eval_idxs.sort_unstable();
        Ok((shuffled, eval_idxs))
    }

    /// The settings that decide which replies are sampled.
    fn sampling_inputs(&self, judge: &Path) -> Result<serde_json::Value> {
        Ok(json!({
            "queries": file_hash(&self.folders.data.join("queries.jsonl"))?,
            "retrieval": file_hash(&self.folders.data.join("relevance-table.jsonl"))?,
            "model": folder_hash(&self.base)?,
            "judge": folder_hash(judge)?,
            "rag_top_k": self.config.rag_top_k,
            "max_new_tokens": self.config.max_new_tokens,
            "seed": self.config.seed,
        }))
    }

    /// Samples replies with the base model, or with an adapter, and scores them; journaled in `path`.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each for rewarding and grading"
    )]
    fn sample(
        &self,
        path: &Path,
        shared: &Shared<'_>,
        relevance: &RelevanceTable,
        nli: &Path,
        n_replies: usize,
        query_idxs: &[usize],
        adapter: Option<&Path>,
        seed: u64,
    ) -> Result<Vec<SampledReplies>> {
        let (mut journal, done) = files::Journal::open::<SampledReplies>(path)?;
        let mut model = hf::load_gemma(&self.base, DType::F32, self.device)?;
        if let Some(adapter) = adapter {
            hf::load_adapter(&mut model, adapter, self.device)?;
            model = burn::module::Module::valid(&model);
        }
        let queries: Vec<String> = shared
            .queries
            .iter()
            .map(|query| query.query.clone())
            .collect();
        let sampler = Sampler {
            character: &self.config.character,
            statements: shared.statements,
            model: &model,
            tokenizer: &Tokenizer::load(&self.base)?,
            max_tokens: hf::read_gemma_config(&self.base)?.max_position_embeddings,
            top_k: self.config.rag_top_k,
            retrieval: shared.retrieval,
            relevance,
            nli: &Judge::load_nli(nli, self.device)?,
            n_replies,
            sampling: Sampling::at_temperature(1.0),
            max_new_tokens: self.config.max_new_tokens,
            seed,
        };
        let label = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        sample_replies(
            &sampler,
            &queries,
            query_idxs,
            &mut journal,
            done,
            &label,
            self.job,
        )
    }

    fn pairs(
        &mut self,
        shared: &Shared<'_>,
        judges: &Discriminators,
        train_idxs: &[usize],
    ) -> Result<Vec<PreferencePair>> {
        /// Pairs whose scores are closer than this tell nothing.
        const THRESHOLD: f64 = 0.2;
        let replies = self.folders.data.join("replies.jsonl");
        let path = self.folders.data.join("pairs.jsonl");
        let mut inputs = self.sampling_inputs(&judges.nli)?;
        inputs["max_dpo_data"] = json!(self.config.max_dpo_data);
        inputs["max_eval_queries"] = json!(self.config.max_eval_queries);
        let mut stage = self.open("pairs", inputs, &[replies.clone(), path.clone()])?;
        if !stage.is_complete() {
            let seed = seed_for(self.config.seed, &[3]);
            let samples = self.sample(
                &replies,
                shared,
                shared.retrieval,
                &judges.nli,
                2,
                train_idxs,
                None,
                seed,
            )?;
            let pairs = preference_pairs(&samples, THRESHOLD);
            self.job
                .progress
                .note(&format!("{} of {} pairs kept", pairs.len(), samples.len()));
            if pairs.is_empty() {
                return Err(Error::invalid(
                    &replies,
                    "no two replies differ enough in APC to learn from; raise --max-dpo-data or take another --seed",
                ));
            }
            files::write_jsonl(&path, &pairs)?;
            stage.complete()?;
        }
        files::read_jsonl(&path)
    }

    fn dpo(&mut self, pairs: &[PreferencePair]) -> Result<DpoSummary> {
        let config = self.config;
        let path = self.folders.data.join("dpo.json");
        let (adapter, work) = (
            self.folders.models.join("adapter"),
            self.folders.models.join("adapter.training"),
        );
        let alpha = config.lora_alpha.unwrap_or(config.lora_rank as f64);
        let inputs = json!({
            "pairs": file_hash(&self.folders.data.join("pairs.jsonl"))?,
            "model": folder_hash(&self.base)?,
            "lora_rank": config.lora_rank,
            "lora_alpha": alpha,
            "epochs": config.prp_dpo_epoch,
            "learning_rate": config.learning_rate,
            "beta": config.beta,
            "batch_size": config.batch_size,
            "accumulate": config.accumulate,
            "seed": config.seed,
        });
        let mut stage = self.open(
            "dpo",
            inputs,
            &[path.clone(), adapter.clone(), work.clone()],
        )?;
        if !stage.is_complete() || !adapter.join("adapter_config.json").is_file() {
            let model = hf::load_gemma(&self.base, DType::F32, self.device)?;
            let run = DpoRun {
                lora: &LoraConfig::new(config.lora_rank, alpha),
                dpo: &DpoConfig::new()
                    .with_beta(config.beta)
                    .with_accumulate(config.accumulate),
                batch_size: config.batch_size,
                epochs: config.prp_dpo_epoch,
                learning_rate: config.learning_rate,
                seed: config.seed,
                base: &self.base,
                output: &adapter,
                work: &work,
            };
            let summary = run.run(
                &model,
                &Tokenizer::load(&self.base)?,
                pairs,
                self.device,
                self.job,
            )?;
            files::write_json(&path, &summary)?;
            files::create_dir(&work)?;
            stage.complete()?;
            // The checkpoints have done their part; an empty folder stays as a mark of the stage.
            fs::remove_dir_all(work.join("checkpoint")).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(Error::io("remove", &work)(error)),
            })?;
        }
        files::read_json(&path)
    }

    fn evaluate(
        &mut self,
        name: &str,
        shared: &Shared<'_>,
        graders: &Discriminators,
        grading: &RelevanceTable,
        eval_idxs: &[usize],
        adapter: Option<&Path>,
    ) -> Result<Vec<SampledReplies>> {
        let path = self.folders.data.join(format!("{name}.jsonl"));
        let mut inputs = self.sampling_inputs(&graders.nli)?;
        inputs["grading"] = json!(file_hash(
            &self.folders.data.join("relevance-table-evaluation.jsonl")
        )?);
        inputs["max_eval_queries"] = json!(self.config.max_eval_queries);
        inputs["eval_replies"] = json!(self.config.eval_replies);
        if let Some(adapter) = adapter {
            inputs["adapter"] = json!(folder_hash(adapter)?);
        }
        let mut stage = self.open(name, inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let seed = seed_for(self.config.seed, &[4]);
            let n_replies = self.config.eval_replies;
            self.sample(
                &path,
                shared,
                grading,
                &graders.nli,
                n_replies,
                eval_idxs,
                adapter,
                seed,
            )?;
            stage.complete()?;
        }
        files::read_jsonl(&path)
    }
}
