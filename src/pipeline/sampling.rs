//! The stages that sample replies, and the training between them.

use std::path::Path;

use burn::tensor::DType;
use serde_json::json;

use crate::files::folder_hash;
use crate::nn::LoraConfig;
use crate::persona::{self, Judge, JudgeSource, JudgeTask, PreferencePair, Query, RelevanceTable};
use crate::pipeline::discriminators::{Discriminators, judge_hash};
use crate::pipeline::dpo::{DpoRun, DpoSummary, encode, preference_pairs};
use crate::pipeline::record::file_hash;
use crate::pipeline::replies::{SampledReplies, Sampler, sample_replies};
use crate::pipeline::run::Run;
use crate::text::seed_for;
use crate::text::{Engine, EngineConfig, Sampling, Work};
use crate::train::DpoConfig;
use crate::{Error, Result, files};

/// What is asked, and what is retrieved for it.
pub(super) struct Asked<'a> {
    pub(super) persona: &'a persona::Persona,
    pub(super) queries: &'a [Query],
    /// Those of the queries that are asked.
    pub(super) query_idxs: Vec<usize>,
    /// The rewarding judge's relevance.
    pub(super) retrieval: RelevanceTable,
    /// Names of the files of the queries and of their relevance.
    pub(super) files: [&'static str; 2],
}

impl Run<'_> {
    /// The settings that decide which replies are sampled.
    fn sampling_inputs(&self, asked: &Asked<'_>, judge: &JudgeSource) -> Result<serde_json::Value> {
        let [queries, retrieval] = asked
            .files
            .map(|name| file_hash(&self.folders.data.join(format!("{name}.jsonl"))));
        Ok(json!({
            "statements": file_hash(&self.folders.data.join("statements.jsonl"))?,
            "queries": queries?,
            "retrieval": retrieval?,
            "model": self.base.hash()?,
            "judge": judge_hash(judge)?,
            "rag_top_k": self.config.rag_top_k,
            "top_p": self.config.top_p,
            "max_new_tokens": self.config.max_new_tokens,
            "seed": self.config.seed,
        }))
    }

    /// The Gemma that answers.
    fn engine(&self, work: Work, adapter: Option<&Path>) -> Result<Engine> {
        let config = EngineConfig::new(self.base.clone(), work)
            .with_adapter(adapter)
            .with_precision(self.config.precision);
        Engine::open(config, self.devices)
    }

    /// Samples replies with the base model, or with an adapter, and scores them; journaled in `path`.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each for rewarding and grading"
    )]
    fn sample(
        &self,
        path: &Path,
        asked: &Asked<'_>,
        relevance: &RelevanceTable,
        nli: &JudgeSource,
        n_replies: usize,
        adapter: Option<&Path>,
        seed: u64,
    ) -> Result<Vec<SampledReplies>> {
        let (mut journal, done) = files::Journal::open::<SampledReplies>(path)?;
        let engine = self.engine(
            Work::Sample {
                rows: n_replies * self.devices.workers(),
                tokens: self.config.max_new_tokens + 512,
            },
            adapter,
        )?;
        let loaded = engine.load()?;
        let queries: Vec<String> = asked
            .queries
            .iter()
            .map(|query| query.query.clone())
            .collect();
        let sampler = Sampler {
            persona: asked.persona,
            models: &loaded.models,
            tokenizer: engine.tokenizer(),
            max_tokens: engine.max_tokens(),
            top_k: self.config.rag_top_k,
            retrieval: &asked.retrieval,
            relevance,
            nli: &Judge::load(nli, JudgeTask::Nli, self.devices)?,
            n_replies,
            sampling: Sampling::Random {
                temperature: 1.0,
                top_k: None,
                top_p: Some(self.config.top_p),
            },
            max_new_tokens: self.config.max_new_tokens,
            min_new_tokens: 0,
            seed,
        };
        let label = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        let mut replies = sample_replies(
            &sampler,
            &queries,
            &asked.query_idxs,
            &mut journal,
            done,
            &label,
            self.job,
        )?;
        // They were journaled as they became done.
        drop(journal);
        replies.sort_by_key(|record| {
            let place = |query_idx: &usize| *query_idx == record.query_idx;
            asked.query_idxs.iter().position(place)
        });
        files::write_jsonl(path, &replies)?;
        Ok(replies)
    }

    pub(super) fn pairs(
        &mut self,
        asked: &Asked<'_>,
        judges: &Discriminators,
    ) -> Result<Vec<PreferencePair>> {
        /// Pairs whose scores are closer than this tell nothing.
        const THRESHOLD: f64 = 0.2;
        let replies = self.folders.data.join("replies.jsonl");
        let path = self.folders.data.join("pairs.jsonl");
        let mut inputs = self.sampling_inputs(asked, &judges.nli)?;
        inputs["max_dpo_data"] = json!(self.config.max_dpo_data);
        let mut stage = self.open("pairs", inputs, &[replies.clone(), path.clone()])?;
        if !stage.is_complete() {
            let seed = seed_for(self.config.seed, &[3]);
            let per_query = self.config.samples_per_query(asked.query_idxs.len());
            let samples = self.sample(
                &replies,
                asked,
                &asked.retrieval,
                &judges.nli,
                2 * per_query,
                None,
                seed,
            )?;
            let pairs = preference_pairs(&samples, THRESHOLD);
            self.job.progress.note(&format!(
                "{} of {} pairs kept",
                pairs.len(),
                samples.len() * per_query
            ));
            if pairs.is_empty() {
                return Err(Error::invalid(
                    &replies,
                    "no reply that is better than a neutral one differs enough from another to learn from; raise --max-dpo-data or take another --seed",
                ));
            }
            files::write_jsonl(&path, &pairs)?;
            stage.complete()?;
        }
        files::read_jsonl(&path)
    }

    pub(super) fn dpo(&mut self, pairs: &[PreferencePair]) -> Result<DpoSummary> {
        let config = self.config;
        let path = self.folders.data.join("dpo.json");
        let (adapter, work) = (
            self.folders.models.join("adapter"),
            self.folders.models.join("adapter.training"),
        );
        let alpha = config.lora_alpha.unwrap_or(config.lora_rank as f64);
        let inputs = json!({
            "pairs": file_hash(&self.folders.data.join("pairs.jsonl"))?,
            "model": self.base.hash()?,
            "lora_rank": config.lora_rank,
            "lora_alpha": alpha,
            "epochs": config.prp_dpo_epoch,
            "learning_rate": config.learning_rate,
            "beta": config.beta,
            "sft_weight": config.sft_weight,
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
            let engine = self.engine(
                Work::Train {
                    rank: config.lora_rank,
                    factor_bytes: DType::F32.size(),
                    batch_tokens: config.batch_size * 512,
                    gradient_checkpointing: config.gradient_checkpointing,
                },
                None,
            )?;
            let examples = encode(engine.tokenizer(), pairs)?;
            let run = DpoRun {
                lora: &LoraConfig::new(config.lora_rank, alpha),
                lora_dtype: DType::F32,
                adapter: None,
                dpo: &DpoConfig::new()
                    .with_beta(config.beta)
                    .with_sft_weight(config.sft_weight)
                    .with_accumulate(config.accumulate),
                batch_size: config.batch_size,
                epochs: config.prp_dpo_epoch,
                learning_rate: config.learning_rate,
                seed: config.seed,
                shuffle: true,
                base: self.base.name(),
                output: &adapter,
                work: &work,
                gradient_checkpointing: config.gradient_checkpointing,
                record_steps: false,
            };
            let trained = run.run(engine.load()?.model(), examples, self.devices, self.job)?;
            let summary = run.summarize(&trained, self.job)?;
            files::write_json(&path, &summary)?;
            files::create_dir(&work)?;
            stage.complete()?;
            // The checkpoints have done their part; an empty folder stays as a mark of the stage.
            files::remove_dir(&work.join("checkpoint"))?;
        }
        files::read_json(&path)
    }

    pub(super) fn evaluate(
        &mut self,
        name: &str,
        asked: &Asked<'_>,
        graders: &Discriminators,
        grading: &RelevanceTable,
        adapter: Option<&Path>,
    ) -> Result<Vec<SampledReplies>> {
        let path = self.folders.data.join(format!("{name}.jsonl"));
        let mut inputs = self.sampling_inputs(asked, &graders.nli)?;
        inputs["grading"] = json!(file_hash(
            &self.folders.data.join("grading-relevance-table.jsonl")
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
                asked,
                grading,
                &graders.nli,
                n_replies,
                adapter,
                seed,
            )?;
            stage.complete()?;
        }
        files::read_jsonl(&path)
    }
}
