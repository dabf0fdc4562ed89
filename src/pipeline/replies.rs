//! Replies to queries, and how faithful they are.

use serde::{Deserialize, Serialize};

use crate::nn::Gemma;
use crate::persona::{
    Judge, RelevanceTable, StatementScore, encode_prompt, judge_nli, persona_prompt, score,
    stop_ids,
};
use crate::progress::Job;
use crate::text::{GenerateConfig, Prompt, Sampling, Tokenizer, generate};
use crate::{Result, files::Journal, parallel};

use super::stage::seed_for;

/// The replies sampled to one query with their scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledReplies {
    /// Which of the queries.
    pub query_idx: usize,
    /// The query.
    pub query: String,
    /// The whole prompt.
    pub prompt: String,
    /// The replies.
    pub responses: Vec<String>,
    /// APC of each.
    pub apc: Vec<f64>,
    /// ΔAPC of each.
    pub delta_apc: Vec<f64>,
}

/// What replies are sampled and scored with.
pub struct Sampler<'a> {
    /// The character's name.
    pub character: &'a str,
    /// All of the persona statements.
    pub statements: &'a [String],
    /// The language model.
    pub model: &'a Gemma,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Longest sequence the model takes.
    pub max_tokens: usize,
    /// Statements in the prompt.
    pub top_k: usize,
    /// Who retrieves: relevance of every statement to every query.
    pub retrieval: &'a RelevanceTable,
    /// Whose relevance counts in the score; the same table where the rewarding judges score.
    pub relevance: &'a RelevanceTable,
    /// Who compares reply and statement.
    pub nli: &'a Judge,
    /// How many replies a query gets.
    pub n_replies: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Longest reply.
    pub max_new_tokens: usize,
    /// Where the random numbers come from.
    pub seed: u64,
}

/// Replies in one batch, which bounds the memory; part of what makes a rerun give the same bytes.
const BATCH: usize = 64;

/// Samples and scores replies to the queries at `query_idxs`, writing each batch to the journal; what `done` holds
/// already is not made again.
pub fn sample_replies(
    sampler: &Sampler<'_>,
    queries: &[String],
    query_idxs: &[usize],
    journal: &mut Journal,
    mut done: Vec<SampledReplies>,
    label: &str,
    job: &Job,
) -> Result<Vec<SampledReplies>> {
    let task = job.progress.task(label, query_idxs.len(), "queries");
    task.advance(done.len());
    for batch in query_idxs.chunks((BATCH / sampler.n_replies).max(1)) {
        // A batch is sampled as a whole, so that a run that was cut off inside one repeats the very same arithmetic.
        if batch
            .iter()
            .all(|query_idx| done.iter().any(|record| record.query_idx == *query_idx))
        {
            continue;
        }
        job.check()?;
        let mut records = sample_batch(sampler, queries, batch, job)?;
        records.retain(|record| done.iter().all(|found| found.query_idx != record.query_idx));
        journal.append(&records)?;
        task.advance(records.len());
        done.extend(records);
    }
    Ok(done)
}

fn sample_batch(
    sampler: &Sampler<'_>,
    queries: &[String],
    query_idxs: &[usize],
    job: &Job,
) -> Result<Vec<SampledReplies>> {
    let mut prompts = Vec::with_capacity(query_idxs.len());
    let mut texts = Vec::with_capacity(query_idxs.len());
    for &query_idx in query_idxs {
        let retrieved = sampler.retrieval.retrieve(query_idx, sampler.top_k);
        let shown: Vec<&str> = retrieved
            .iter()
            .map(|&idx| sampler.statements[idx].as_str())
            .collect();
        let text = persona_prompt(sampler.character, &shown, &queries[query_idx]);
        let ids = encode_prompt(
            sampler.tokenizer,
            &text,
            sampler.max_tokens,
            sampler.max_new_tokens,
        )?;
        let seeds = (0..sampler.n_replies as u64)
            .map(|reply_idx| seed_for(sampler.seed, &[query_idx as u64, reply_idx]))
            .collect();
        prompts.push(Prompt { ids, seeds });
        texts.push(text);
    }
    let config = GenerateConfig {
        max_new_tokens: sampler.max_new_tokens,
        min_new_tokens: 0,
        sampling: sampler.sampling,
        stop_ids: stop_ids(sampler.tokenizer),
    };
    let workers = parallel::workers(&sampler.model.device());
    let parts: Vec<Vec<Prompt>> = prompts
        .chunks(prompts.len().div_ceil(workers))
        .map(<[Prompt]>::to_vec)
        .collect();
    let replies: Vec<Vec<i32>> = parallel::map(parts, |part| {
        generate(sampler.model, &part, &config, job, &mut |_, _| {})
    })
    .into_iter()
    .collect::<Result<Vec<_>>>()?
    .concat();
    let replies: Vec<String> = replies
        .iter()
        .map(|ids| Ok(sampler.tokenizer.decode(ids)?.trim().to_string()))
        .collect::<Result<_>>()?;

    let asked: Vec<(&str, &str)> = replies
        .chunks(sampler.n_replies)
        .zip(query_idxs)
        .flat_map(|(replies, &query_idx)| {
            replies
                .iter()
                .map(move |reply| (queries[query_idx].as_str(), reply.as_str()))
        })
        .collect();
    let quiet = job.quiet();
    let judged = judge_nli(
        sampler.nli,
        sampler.character,
        sampler.statements,
        &asked,
        &quiet,
    )?;
    let scored: Vec<_> = judged
        .iter()
        .enumerate()
        .map(|(reply_idx, row)| {
            let query_idx = query_idxs[reply_idx / sampler.n_replies];
            score(statement_scores(
                sampler.statements,
                &sampler.relevance.rows[query_idx],
                row,
            ))
        })
        .collect();
    let records = query_idxs.iter().enumerate().map(|(place, &query_idx)| {
        let range = place * sampler.n_replies..(place + 1) * sampler.n_replies;
        SampledReplies {
            query_idx,
            query: queries[query_idx].clone(),
            prompt: texts[place].clone(),
            responses: replies[range.clone()].to_vec(),
            apc: scored[range.clone()]
                .iter()
                .map(|score| score.apc)
                .collect(),
            delta_apc: scored[range].iter().map(|score| score.delta_apc).collect(),
        }
    });
    Ok(records.collect())
}

/// Puts relevance and NLI of each statement together.
pub(crate) fn statement_scores(
    statements: &[String],
    relevance: &[f64],
    nli: &[[f64; 3]],
) -> Vec<StatementScore> {
    statements
        .iter()
        .zip(relevance)
        .zip(nli)
        .map(
            |((statement, &relevance), &[contradicted, neutral, entailed])| StatementScore {
                statement: statement.clone(),
                relevance,
                contradicted,
                neutral,
                entailed,
            },
        )
        .collect()
}
