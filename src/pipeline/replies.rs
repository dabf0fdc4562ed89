//! Replies to queries, and how faithful they are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::nn::Decoder;
use crate::parallel::Replicas;
use crate::persona::{
    Judge, Persona, Query, RelevanceTable, Score, conversation_prompt, encode_prompt,
};
use crate::progress::Job;
use crate::text::{
    ChatFormat, GenerateConfig, Generation, Prompt, Room, Sampling, Tokenizer, seed_for,
};
use crate::{Error, Result, files::Journal};

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
    /// Who replies.
    pub persona: &'a Persona,
    /// The language model, on every device that samples.
    pub models: &'a Replicas<Decoder>,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// How it writes a conversation.
    pub format: &'a ChatFormat,
    /// Longest sequence the model takes.
    pub max_tokens: usize,
    /// Statements in the prompt.
    pub top_k: usize,
    /// P(relevant) that each of them has at least.
    pub min_relevance: f64,
    /// Who retrieves: relevance of every statement to every query.
    pub retrieval: &'a RelevanceTable,
    /// The same to what was asked before each query, turn by turn; needed of queries before which something was.
    pub earlier: &'a [RelevanceTable],
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
    /// Shortest reply.
    pub min_new_tokens: usize,
    /// Where the random numbers come from.
    pub seed: u64,
}

/// Samples and scores replies to the queries at `query_idxs`; what is done is written to the journal every few tokens. What
/// `done` holds already is not scored or written again.
///
/// The last bits of what is computed depend on what is computed beside it. So queries are sampled in groups that are the
/// same in every run, and what a round of tokens finished is scored as a whole: a run that was cut off inside a group
/// samples it again, up to the last query that it lacks, and does the very same arithmetic.
pub fn sample_replies(
    sampler: &Sampler<'_>,
    queries: &[Query],
    query_idxs: &[usize],
    journal: &mut Journal,
    mut done: Vec<SampledReplies>,
    label: &str,
    job: &Job,
) -> Result<Vec<SampledReplies>> {
    /// Replies in a group for each thread: several times as many as it samples at once.
    const GROUP: usize = 256;
    let task = job.progress.task(label, query_idxs.len(), "queries");
    task.resume(done.len());
    let lacks = |done: &[SampledReplies], query_idxs: &[usize]| {
        let lacks = |query_idx| done.iter().all(|record| record.query_idx != query_idx);
        query_idxs.iter().copied().any(lacks)
    };
    let replies = GROUP * sampler.models.devices().workers();
    for group in query_idxs.chunks((replies / sampler.n_replies).max(1)) {
        if !lacks(&done, group) {
            continue;
        }
        sample_group(sampler, queries, group, job, &mut |sampled| {
            let found: Vec<usize> = sampled.iter().map(|sampled| sampled.query_idx).collect();
            if lacks(&done, &found) {
                let mut records = score_replies(sampler, queries, sampled, job)?;
                records.retain(|record| lacks(&done, &[record.query_idx]));
                journal.append(&records)?;
                task.advance(records.len());
                done.extend(records);
            }
            Ok(lacks(&done, group))
        })?;
    }
    Ok(done)
}

/// The prompt of a query: the conversation, each turn with the statements that were retrieved for it; without its oldest turns where
/// the model has no room for all of them.
fn prompt(sampler: &Sampler<'_>, query: &Query, query_idx: usize) -> Result<String> {
    let shown = |table: &RelevanceTable, idx| {
        let retrieved = table.retrieve_relevant(idx, sampler.top_k, sampler.min_relevance);
        let shown = retrieved.into_iter();
        shown
            .map(|idx| sampler.persona.statements[idx].as_str())
            .collect::<Vec<&str>>()
    };
    let n_before = query.before.len();
    let earlier = sampler.earlier.get(query_idx);
    let earlier = earlier.filter(|table| table.rows.len() == n_before);
    if earlier.is_none() && n_before > 0 {
        let reason = format!("what was asked before query {query_idx} was not judged");
        return Err(Error::Fault(reason));
    }
    let earlier = earlier.into_iter();
    let earlier = earlier.flat_map(|table| (0..n_before).map(move |idx| shown(table, idx)));
    let statements: Vec<Vec<&str>> = earlier
        .chain([shown(sampler.retrieval, query_idx)])
        .collect();
    let (format, name) = (sampler.format, &sampler.persona.name);
    let conversation = query.conversation();
    let mut dropped = 0;
    loop {
        let prompt = conversation_prompt(format, name, &conversation, &statements, dropped)?;
        if dropped == n_before {
            return Ok(prompt);
        }
        let n_tokens = sampler.tokenizer.encode(&prompt)?.len();
        if n_tokens + sampler.max_new_tokens <= sampler.max_tokens {
            return Ok(prompt);
        }
        dropped += 1;
    }
}

/// A query's prompt and its replies.
struct Sampled {
    query_idx: usize,
    prompt: String,
    replies: Vec<String>,
}

/// Samples replies to the queries of a group and hands them to `take` as they are done, as long as it wants more.
fn sample_group(
    sampler: &Sampler<'_>,
    queries: &[Query],
    query_idxs: &[usize],
    job: &Job,
    take: &mut dyn FnMut(&[Sampled]) -> Result<bool>,
) -> Result<()> {
    /// Tokens between one look at what is done and the next.
    const ROUND: usize = 32;
    let texts = query_idxs
        .iter()
        .map(|&query_idx| prompt(sampler, &queries[query_idx], query_idx))
        .collect::<Result<Vec<String>>>()?;
    let config = GenerateConfig {
        min_new_tokens: sampler.min_new_tokens,
        sampling: sampler.sampling,
        stop_ids: sampler.format.stop_ids().to_vec(),
        ..GenerateConfig::new(sampler.max_new_tokens)
    };
    let mut parts = begin(sampler, query_idxs, &texts, &config)?;
    let n_replies = sampler.n_replies;
    let mut ids: Vec<Vec<Option<Vec<i32>>>> = vec![vec![None; n_replies]; query_idxs.len()];
    while !parts.is_empty() {
        let round = sampler.models.devices().map(parts, |mut part| {
            let mut replies = Vec::new();
            for _ in 0..ROUND {
                if !part.generation.is_done() {
                    replies.extend(part.generation.step(job, &mut |_, _| {})?);
                }
            }
            Ok((part, replies))
        });
        parts = Vec::new();
        let mut touched = BTreeSet::new();
        for worked_on in round {
            let (part, replies) = worked_on?;
            for reply in replies {
                let place = part.places[reply.reply_idx / n_replies];
                ids[place][reply.reply_idx % n_replies] = Some(reply.ids);
                touched.insert(place);
            }
            if !part.generation.is_done() {
                parts.push(part);
            }
        }
        let mut sampled = Vec::new();
        for place in touched {
            if let Some(replies) = ids[place].iter().cloned().collect::<Option<Vec<_>>>() {
                let decoded = replies.iter().map(|ids| {
                    let said = sampler.format.spoken().of(ids);
                    Ok(sampler.tokenizer.decode_reply(&said)?.trim().to_string())
                });
                sampled.push(Sampled {
                    query_idx: query_idxs[place],
                    prompt: texts[place].clone(),
                    replies: decoded.collect::<Result<_>>()?,
                });
            }
        }
        if !sampled.is_empty() && !take(&sampled)? {
            break;
        }
    }
    Ok(())
}

/// Queries of a group that one thread samples replies to.
struct Part<'a> {
    /// Their places in the group.
    places: Vec<usize>,
    generation: Generation<'a>,
}

/// Deals the queries out, to as many parts as run at once.
fn begin<'a>(
    sampler: &Sampler<'a>,
    query_idxs: &[usize],
    texts: &[String],
    config: &GenerateConfig,
) -> Result<Vec<Part<'a>>> {
    let devices = sampler.models.devices();
    let workers = devices.workers().min(texts.len());
    let room = Room::of(sampler.models.first()).shared_by(workers.div_ceil(devices.count()));
    let part = |(worker, model)| {
        let places: Vec<usize> = (worker..texts.len()).step_by(workers).collect();
        let prompt = |&place: &usize| {
            let seed_of =
                |reply_idx| seed_for(sampler.seed, &[query_idxs[place] as u64, reply_idx]);
            Ok(Prompt {
                ids: encode_prompt(
                    sampler.tokenizer,
                    &texts[place],
                    sampler.max_tokens,
                    sampler.max_new_tokens,
                )?,
                seeds: (0..sampler.n_replies as u64).map(seed_of).collect(),
            })
        };
        let prompts = places.iter().map(prompt).collect::<Result<Vec<_>>>()?;
        Ok(Part {
            places,
            generation: Generation::new(model, &prompts, config, room),
        })
    };
    let models = sampler.models.iter().cycle();
    (0..workers).zip(models).map(part).collect()
}

/// Scores every reply against every statement.
fn score_replies(
    sampler: &Sampler<'_>,
    queries: &[Query],
    sampled: &[Sampled],
    job: &Job,
) -> Result<Vec<SampledReplies>> {
    let mut asked = Vec::new();
    let mut n_cut = 0;
    for sampled in sampled {
        let query = queries[sampled.query_idx].query.as_str();
        for reply in &sampled.replies {
            let read = sampler.nli.readable(sampler.persona, query, reply)?;
            n_cut += usize::from(read.len() < reply.len());
            asked.push((query, read));
        }
    }
    if n_cut > 0 {
        job.progress.note(&format!(
            "{n_cut} replies are longer than the judge reads, and are scored by how they begin; lower `max_new_tokens`"
        ));
    }
    let judged = sampler.nli.nli(sampler.persona, &asked, &job.quiet())?;
    let records = sampled.iter().zip(judged.chunks(sampler.n_replies));
    let records = records.map(|(sampled, judged)| {
        let relevance = &sampler.relevance.rows[sampled.query_idx];
        let scores = judged
            .iter()
            .map(|nli| Score::of(sampler.persona, relevance, nli));
        let (apc, delta_apc) = scores.map(|score| (score.apc, score.delta_apc)).unzip();
        SampledReplies {
            query_idx: sampled.query_idx,
            query: queries[sampled.query_idx].query.clone(),
            prompt: sampled.prompt.clone(),
            responses: sampled.replies.clone(),
            apc,
            delta_apc,
        }
    });
    Ok(records.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{self, Checkpoint, Precision};
    use crate::parallel::Devices;
    use crate::persona::JudgeTask;
    use burn::tensor::Device;
    use std::path::Path;

    #[test]
    fn replies_that_were_cut_off_anywhere_are_completed_to_the_same_bytes() {
        const QUERIES: usize = 60;
        let (devices, job) = (Devices::from(Device::flex()), Job::default());
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
        let gemma = models.join("gemma");
        let persona = Persona::new(
            "Mira",
            ["Mira plays the cello.", "Mira lives by the harbour."],
        );
        let query = |age| format!("{}What did you do at {age}?", "Please. ".repeat(age % 7));
        let queries = (0..QUERIES).map(|age| Query::new("Mira plays the cello.", query(age)));
        let queries: Vec<Query> = queries.collect();
        let table = RelevanceTable {
            rows: vec![vec![0.5, 0.4]; QUERIES],
        };
        let tokenizer = Tokenizer::load(&gemma.as_path().into()).unwrap();
        let sampler = Sampler {
            persona: &persona,
            models: &Replicas::new(
                files::load_decoder(
                    &gemma.as_path().into(),
                    Precision::default(),
                    devices.first(),
                )
                .unwrap(),
                &devices,
            ),
            tokenizer: &tokenizer,
            format: &ChatFormat::load(&gemma.as_path().into(), &tokenizer).unwrap(),
            max_tokens: 1024,
            top_k: 2,
            min_relevance: 0.0,
            retrieval: &table,
            earlier: &[],
            relevance: &table,
            nli: &Judge::load(
                &Checkpoint::from(models.join("nli")).into(),
                JudgeTask::Nli,
                &devices,
                &job,
            )
            .unwrap(),
            n_replies: 10,
            sampling: Sampling::at_temperature(1.0),
            max_new_tokens: 40,
            min_new_tokens: 0,
            seed: 5,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.jsonl");
        let query_idxs: Vec<usize> = (0..QUERIES).rev().collect();
        let sample = || {
            let (mut journal, done) = Journal::open(&path).unwrap();
            let sampled = sample_replies(
                &sampler,
                &queries,
                &query_idxs,
                &mut journal,
                done,
                "",
                &job,
            );
            (sampled.unwrap(), std::fs::read_to_string(&path).unwrap())
        };
        let (records, whole) = sample();
        let mut sampled: Vec<usize> = records.iter().map(|record| record.query_idx).collect();
        sampled.sort();
        assert_eq!(sampled, (0..QUERIES).collect::<Vec<_>>());
        assert!(records.iter().all(|record| record.responses.len() == 10));
        for lines in [20, 55] {
            let kept: String = whole.split_inclusive('\n').take(lines).collect();
            std::fs::write(&path, kept).unwrap();
            let (again, bytes) = sample();
            assert!(bytes == whole, "cut off after {lines} queries");
            assert_eq!(again, records);
        }
    }
}
