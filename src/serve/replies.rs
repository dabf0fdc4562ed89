//! From a request to its choices: the prompt, replies, their scores, the best first.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use super::error::ApiError;
use super::responses::{ChoiceLogprobs, ContentLogprob, TokenLogprob, Verdict};
use super::speech::Speech;
use super::state::{Speaker, State};
use super::worker::Event;
use crate::persona::{Conversation, Prepared, Role};
use crate::text::{Engine, FinishReason, GenerateConfig, Logprobs, Message, Prompt, seed_for};
use crate::{Error, Result};

/// How often replies are sampled anew that are not faithful enough.
const MOST_ROUNDS: usize = 3;

/// A prompt, and how its replies are judged.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) ids: Vec<i32>,
    /// Nothing for the plain model.
    judged: Option<(Arc<Role>, Prepared)>,
}

/// A finished reply.
#[derive(Clone, Debug)]
pub(super) struct Sampled {
    pub(super) text: String,
    pub(super) finish_reason: &'static str,
    pub(super) logprobs: Option<Vec<ContentLogprob>>,
    pub(super) verdict: Option<Verdict>,
    pub(super) tokens: usize,
}

/// What is wanted of a prompt.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) config: GenerateConfig,
    pub(super) stops: Vec<String>,
    /// How many choices are returned, and how many replies are sampled for them.
    pub(super) choices: [usize; 2],
    pub(super) min_delta_apc: Option<f64>,
    pub(super) is_scored: bool,
    pub(super) seed: u64,
}

/// Runs work of judges on a thread of its own, one after the other; what a reply waits for goes before what judges one.
pub(super) async fn judged<T: Send + 'static>(
    state: &Arc<State>,
    is_urgent: bool,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let pass = state.judging.pass(is_urgent).await;
    let result = spawn_blocking(move || {
        let _pass = pass;
        work()
    })
    .await;
    result
        .unwrap_or_else(|error| Err(Error::Fault(error.to_string())))
        .map_err(|error| {
            state.log(&error);
            error.into()
        })
}

/// Retrieves statements and writes the prompt of a chat; `max_new_tokens` is lowered to what there is room for behind it.
pub(super) async fn prepare(
    state: &Arc<State>,
    speaker: &Speaker,
    messages: Vec<Message>,
    max_new_tokens: &mut usize,
) -> Result<Ready, ApiError> {
    let stage = speaker.stage.clone();
    // Clients ask for more than they need: a quarter of the window is enough to be worth the oldest turns.
    let reserved = (*max_new_tokens).min(stage.engine.max_tokens() / 4).max(1);
    let ready = match speaker.role.clone() {
        Some(role) => {
            let mut conversation = Conversation::from_messages(&messages)?;
            if conversation.scene.is_empty() {
                // The client knows nothing of the card.
                conversation.scene = speaker.opening.scene.clone();
                conversation.examples = speaker.opening.examples.clone();
            }
            judged(state, true, move || {
                let job = crate::progress::Job::default();
                let prepared = role.prepare(&stage.engine, &conversation, reserved, &job)?;
                Ok(Ready {
                    ids: prepared.ids.clone(),
                    judged: Some((role, prepared)),
                })
            })
            .await?
        }
        None => {
            let (text, begun) = plain_prompt(&stage.engine, messages)?;
            encoded(&stage.engine, &format!("{text}{begun}"))?
        }
    };
    *max_new_tokens = ready.room(&speaker.stage.engine, *max_new_tokens);
    Ok(ready)
}

/// The prompt of a chat with the plain model, and how its reply begins.
fn plain_prompt(engine: &Engine, mut messages: Vec<Message>) -> Result<(String, String), ApiError> {
    let begun = match messages.last() {
        Some(last) if last.role == "assistant" => messages.pop().map(|last| last.content),
        _ => None,
    };
    const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];
    let format = engine.format();
    if let Some(unknown) = messages
        .iter()
        .find(|one| !ROLES.contains(&one.role.as_str()))
    {
        let message = format!(
            "messages has the role {:?}; there are {}",
            unknown.role,
            ROLES.join(", ")
        );
        return Err(ApiError::invalid(Some("messages"), message));
    }
    for message in &mut messages {
        message.content = format.without_marks(&message.content);
        if message.role == "developer" {
            message.role = "system".to_string();
        }
    }
    if messages.is_empty() {
        let message = "messages has nothing to reply to";
        return Err(ApiError::invalid(Some("messages"), message));
    }
    let text = format.prompt(&merged(messages)).map_err(|_| {
        let message = "the model's chat template does not take these messages: turns of user and assistant must take turns";
        ApiError::invalid(Some("messages"), message)
    })?;
    Ok((text, format.without_marks(&begun.unwrap_or_default())))
}

/// Turns of one role in a row as one turn, and system turns in front.
fn merged(messages: Vec<Message>) -> Vec<Message> {
    let (system, talk): (Vec<Message>, Vec<Message>) = messages
        .into_iter()
        .partition(|message| message.role == "system");
    let mut merged: Vec<Message> = Vec::new();
    for message in system.into_iter().chain(talk) {
        match merged.last_mut() {
            Some(last) if last.role == message.role => {
                last.content = format!("{}\n\n{}", last.content, message.content);
            }
            _ => merged.push(message),
        }
    }
    if merged.iter().all(|message| message.role == "system") {
        for message in &mut merged {
            message.role = "user".to_string();
        }
    }
    merged
}

/// A text as a prompt.
pub(super) fn encoded(engine: &Engine, text: &str) -> Result<Ready, ApiError> {
    of_ids(engine, engine.tokenizer().encode(text)?)
}

/// Ids as a prompt.
pub(super) fn of_ids(engine: &Engine, ids: Vec<i32>) -> Result<Ready, ApiError> {
    let most = engine.max_tokens();
    if ids.len() >= most {
        let message = format!(
            "the prompt has {} tokens, but the model takes {most}, its reply included",
            ids.len()
        );
        return Err(ApiError::invalid(None, message));
    }
    if ids.is_empty() {
        let message = "the prompt has no token; write something";
        return Err(ApiError::invalid(Some("prompt"), message));
    }
    Ok(Ready { ids, judged: None })
}

impl Ready {
    /// How many of the tokens that are wanted there is room for behind the prompt.
    pub(super) fn room(&self, engine: &Engine, wanted: usize) -> usize {
        wanted.min(engine.max_tokens().saturating_sub(self.ids.len()))
    }

    /// Whether the reply is told as it grows: it is the only one, and none is sampled in its place.
    pub(super) fn is_told_live(&self, wanted: &Wanted) -> bool {
        let [n, sampled] = wanted.choices;
        let is_judged = self.judged.is_some() && wanted.is_scored;
        match is_judged {
            true => sampled == 1 && wanted.min_delta_apc.is_none(),
            false => n == 1,
        }
    }

    /// Samples replies and judges them; the best come first, if they are judged. The text of the only reply is told as it
    /// grows.
    pub(super) async fn replies(
        &self,
        state: &Arc<State>,
        speaker: &Speaker,
        wanted: &Wanted,
        on_text: &mut (dyn FnMut(Piece) + Send),
    ) -> Result<Vec<Sampled>, ApiError> {
        let [n, sampled] = wanted.choices;
        let is_judged = self.judged.is_some() && wanted.is_scored;
        let n_first = if is_judged { sampled } else { n };
        let is_alone = self.is_told_live(wanted);
        let start = Instant::now();
        let mut replies: Vec<Sampled> = Vec::new();
        let rounds = match wanted.min_delta_apc {
            Some(_) if is_judged => MOST_ROUNDS,
            _ => 1,
        };
        for round in 0..rounds {
            let seeds =
                (0..n_first).map(|idx| seed_for(wanted.seed, &[(round * n_first + idx) as u64]));
            let seeds = seeds.collect();
            let mut silent = |_| ();
            let on_text: &mut (dyn FnMut(Piece) + Send) =
                if is_alone { on_text } else { &mut silent };
            let mut new = self
                .sample(state, speaker, wanted, seeds, start, on_text)
                .await?;
            if is_judged {
                self.judge(state, &mut new).await?;
            }
            replies.extend(new);
            let best = replies.iter().filter_map(|reply| reply.verdict.as_ref());
            let best = best
                .map(|verdict| verdict.delta_apc)
                .fold(f64::MIN, f64::max);
            if wanted.min_delta_apc.is_none_or(|least| best >= least) {
                break;
            }
        }
        let completion: usize = replies.iter().map(|reply| reply.tokens).sum();
        state.metrics.count_tokens(self.ids.len(), completion);
        state.metrics.reply.observe(start.elapsed().as_secs_f64());
        let delta_apc = |reply: &Sampled| reply.verdict.as_ref().map_or(0.0, |it| it.delta_apc);
        replies.sort_by(|a, b| delta_apc(b).total_cmp(&delta_apc(a)));
        let n_sampled = replies.len();
        replies.truncate(n);
        for reply in &mut replies {
            if let Some(verdict) = &mut reply.verdict {
                verdict.sampled = n_sampled;
                state.metrics.delta_apc.observe(verdict.delta_apc);
            }
        }
        Ok(replies)
    }

    /// The tokens of the prompt and of what came of it.
    async fn sample(
        &self,
        state: &Arc<State>,
        speaker: &Speaker,
        wanted: &Wanted,
        seeds: Vec<u64>,
        start: Instant,
        on_text: &mut (dyn FnMut(Piece) + Send),
    ) -> Result<Vec<Sampled>, ApiError> {
        let engine = &speaker.stage.engine;
        let failed = |error: Error| {
            state.log(&error);
            ApiError::from(error)
        };
        let n = seeds.len();
        let prompt = Prompt {
            ids: self.ids.clone(),
            seeds,
        };
        let mut events = speaker
            .stage
            .worker
            .ask(speaker.voice, prompt, wanted.config.clone())
            .map_err(failed)?;
        let begun = self
            .judged
            .as_ref()
            .map(|(_, prepared)| prepared.begun.as_str());
        let continues = begun.is_none_or(|begun| !begun.is_empty());
        let last = self.ids.last().copied().filter(|_| continues);
        let speech = || {
            let speech = Speech::new(engine, &wanted.stops);
            match last {
                Some(id) => speech.behind_token(engine, id),
                None => Ok(speech),
            }
        };
        let begin = |_| {
            Ok(UnderWay {
                speech: speech()?,
                text: String::new(),
                last: self.ids.last().copied().unwrap_or_default(),
                logprobs: wanted.config.top_logprobs.map(|_| Vec::new()),
                tokens: 0,
                finish_reason: None,
            })
        };
        let under_way: Result<Vec<UnderWay<'_>>> = (0..n).map(begin).collect();
        let mut under_way = under_way.map_err(failed)?;
        let mut is_first = true;
        while under_way.iter().any(|reply| reply.finish_reason.is_none()) {
            let Some(event) = events.next().await else {
                return Err(failed(Error::Fault(
                    "the thread that speaks is gone".into(),
                )));
            };
            match event {
                Event::Token(number, token) => {
                    if std::mem::take(&mut is_first) {
                        state
                            .metrics
                            .first_token
                            .observe(start.elapsed().as_secs_f64());
                    }
                    let reply = &mut under_way[number];
                    if reply.finish_reason.is_some() {
                        continue;
                    }
                    reply.tokens += 1;
                    let Some(new) = reply.speech.push(token.id).map_err(failed)? else {
                        continue;
                    };
                    reply.text.push_str(&new);
                    let before = std::mem::replace(&mut reply.last, token.id);
                    let logprobs = token.logprobs;
                    let logprobs = logprobs.map(|found| told(engine, before, token.id, &found));
                    if let (Some(all), Some(one)) = (&mut reply.logprobs, &logprobs) {
                        all.push(one.clone());
                    }
                    if reply.speech.is_stopped() {
                        reply.finish_reason = Some("stop");
                        events.end(number);
                    }
                    if !new.is_empty() || logprobs.is_some() {
                        on_text(Piece {
                            text: new,
                            logprobs,
                        });
                    }
                }
                Event::Done(done) => {
                    let reply = &mut under_way[done.reply_idx];
                    if reply.finish_reason.is_some() {
                        continue;
                    }
                    let rest = reply.speech.finish().map_err(failed)?;
                    reply.text.push_str(&rest);
                    if !rest.is_empty() {
                        on_text(Piece {
                            text: rest,
                            logprobs: None,
                        });
                    }
                    reply.finish_reason =
                        Some(match (done.finish_reason, reply.speech.is_stopped()) {
                            (FinishReason::Length, false) => "length",
                            _ => "stop",
                        });
                }
                Event::Failed(reason) => return Err(failed(Error::Model(reason))),
            }
        }
        let ended = under_way.into_iter().map(|reply| Sampled {
            text: reply.text.trim_end().to_string(),
            finish_reason: reply.finish_reason.unwrap_or("stop"),
            logprobs: reply.logprobs,
            verdict: None,
            tokens: reply.tokens,
        });
        Ok(ended.collect())
    }

    /// Scores replies as wholes, what they began with included.
    async fn judge(&self, state: &Arc<State>, replies: &mut [Sampled]) -> Result<(), ApiError> {
        let Some((role, prepared)) = &self.judged else {
            return Ok(());
        };
        let whole = |reply: &Sampled| match prepared.begun.is_empty() {
            true => reply.text.clone(),
            false => format!("{}{}", prepared.begun, reply.text),
        };
        let texts: Vec<String> = replies.iter().map(whole).collect();
        let (role, own) = (role.clone(), prepared.clone());
        let verdicts = judged(state, false, move || {
            let job = crate::progress::Job::default();
            let Prepared {
                message,
                retrieved,
                dropped,
                ..
            } = &own;
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let scores = role.score(&own, &borrowed, &job)?;
            let established = role.established(&own.told, &borrowed, &job)?;
            let mut verdicts = Vec::with_capacity(scores.len());
            for ((score, text), established) in scores.iter().zip(&texts).zip(established) {
                let mut verdict = Verdict {
                    established,
                    ..Verdict::new(score, retrieved, *dropped, 1)
                };
                let broken = verdict.contradicted.iter();
                let broken: Vec<&str> = broken.map(|touched| touched.statement.as_str()).collect();
                let (scorer, name) = (role.scorer(), &role.persona().name);
                let words = scorer.contradicting_words(name, &broken, message, text, &job)?;
                // The client has what it began with already.
                let known = own.begun.chars().count();
                for (touched, words) in verdict.contradicted.iter_mut().zip(words) {
                    let new = [words.start, words.end].map(|place| place.saturating_sub(known));
                    touched.words = Some(new).filter(|[start, end]| start < end);
                }
                verdicts.push(verdict);
            }
            Ok(verdicts)
        })
        .await?;
        for (reply, verdict) in replies.iter_mut().zip(verdicts) {
            reply.verdict = Some(verdict);
        }
        Ok(())
    }
}

/// Some text of a reply that is under way.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) logprobs: Option<ContentLogprob>,
}

struct UnderWay<'a> {
    speech: Speech<'a>,
    text: String,
    /// The last token, the prompt's included.
    last: i32,
    logprobs: Option<Vec<ContentLogprob>>,
    tokens: usize,
    finish_reason: Option<&'static str>,
}

/// A token behind another with its log-probabilities, as clients read them.
fn told(engine: &Engine, before: i32, id: i32, logprobs: &Logprobs) -> ContentLogprob {
    /// What stands for a probability of 0, which JSON cannot write.
    const NONE: f32 = -9999.0;
    let of = |id: i32, logprob: f32| {
        let (token, bytes) = spelt(engine, before, id);
        TokenLogprob {
            token,
            bytes,
            logprob: logprob.max(NONE),
        }
    };
    let top = logprobs.top.iter().map(|&(id, logprob)| of(id, logprob));
    ContentLogprob {
        token: of(id, logprobs.chosen),
        top_logprobs: top.collect(),
    }
}

/// The text of a token behind another, and its bytes: some tokens are one byte of a character.
fn spelt(engine: &Engine, before: i32, id: i32) -> (String, Vec<u8>) {
    let tokenizer = engine.tokenizer();
    let name = tokenizer.token(id).unwrap_or_default();
    let byte = name
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    if let Some(byte) = byte.and_then(|byte| u8::from_str_radix(byte, 16).ok()) {
        return (format!("bytes:\\x{byte:02x}"), vec![byte]);
    }
    // Some decoders leave out the space of a first token, and special tokens have no text.
    let both = tokenizer.decode(&[before, id]).unwrap_or_default();
    let front = tokenizer.decode(&[before]).unwrap_or_default();
    let text = match both.strip_prefix(&front) {
        Some(text) if !text.is_empty() => text.to_string(),
        _ => name,
    };
    let bytes = text.clone().into_bytes();
    (text, bytes)
}

impl Sampled {
    /// The log-probabilities of a choice.
    pub(super) fn choice_logprobs(&self) -> Option<ChoiceLogprobs> {
        let content = self.logprobs.clone()?;
        Some(ChoiceLogprobs {
            content,
            refusal: None,
        })
    }
}
