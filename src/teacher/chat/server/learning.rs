//! Detects which request parameters a server supports, from its answers and errors.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::answer::Said;
use super::form::Form;
use super::refusal::ServerError;
use super::sizes;
use super::traffic::{Failure, MOST_FAILURES, Traffic};
use crate::teacher::chat::model::Question;

/// Forms of one request that are tried, at most.
const MOST_TRIED: usize = 24;
/// How often a server may fail without words before the request's form is doubted.
const DOUBT: usize = 2;

/// Asks a server in a form that it takes.
#[derive(Debug)]
pub(super) struct Learning {
    model: String,
    /// Held while a form is tried, so that other questions wait for what comes out.
    known: Mutex<Known>,
    /// The context's length that a refusal told; 0 if none did.
    context: AtomicU64,
}

#[derive(Debug)]
struct Known {
    form: Form,
    /// Whether a question without, and one with log-probabilities was answered in this form.
    proven: [bool; 2],
    /// The form before a guess; its parts are tried again one by one.
    fuller: Option<Form>,
    /// Forms of those that were refused.
    refused: Vec<Form>,
    /// Whether the limit's other name was tried, as answers were longer than the limit.
    doubted_limit: bool,
}

impl Known {
    /// The parts, as forms, that were given up by a guess and can be tried again with this question.
    fn doubtful(&self, question: &Question) -> Option<Form> {
        let fuller = self.form.towards(self.fuller.as_ref()?);
        let is_open =
            |form: &Form| !self.refused.contains(form) && !form.asks_like(&self.form, question);
        fuller.into_iter().find(is_open)
    }

    fn is_settled(&self, question: &Question) -> bool {
        self.proven[usize::from(question.logprobs)] && self.doubtful(question).is_none()
    }
}

impl Learning {
    pub(super) fn new(model: &str, is_openai: bool) -> Self {
        Self {
            model: model.to_string(),
            known: Mutex::new(Known {
                form: Form::new(is_openai),
                proven: [false; 2],
                fuller: None,
                refused: Vec::new(),
                doubted_limit: false,
            }),
            context: AtomicU64::new(0),
        }
    }

    pub(super) fn context(&self) -> Option<u64> {
        Some(self.context.load(Ordering::SeqCst)).filter(|&context| context > 0)
    }

    /// Asks a question in the form that the server takes, which is found out first where it is not known.
    pub(super) async fn ask(
        &self,
        traffic: &Traffic,
        question: &Question,
    ) -> Result<Said, Failure> {
        let mut known = self.known.lock().await;
        if known.is_settled(question) {
            let form = known.form;
            drop(known);
            let error = match self.send(traffic, question, &form, MOST_FAILURES).await {
                Err(Failure::Said(error)) if teaches(&form, &error, question) => error,
                Ok(said) => return Ok(self.checked(traffic, question, &form, said).await),
                failed => return failed,
            };
            known = self.known.lock().await;
            if known.form == form {
                return self
                    .explore(traffic, &mut known, question, form, error)
                    .await;
            }
            // Another question has found something out meanwhile.
        }
        if let Some(form) = known.doubtful(question) {
            match self.send(traffic, question, &form, 1).await {
                Ok(said) => {
                    known.form = form;
                    self.tell(traffic, &form);
                    return Ok(said);
                }
                Err(Failure::Said(_)) => known.refused.push(form),
                Err(failure) => return Err(failure),
            }
        }
        let form = known.form;
        let is_proven = known.proven[usize::from(question.logprobs)];
        let patience = if is_proven { MOST_FAILURES } else { DOUBT };
        match self.send(traffic, question, &form, patience).await {
            Ok(said) => {
                self.keep(traffic, &mut known, question, form);
                drop(known);
                Ok(self.checked(traffic, question, &form, said).await)
            }
            Err(Failure::Said(error)) => {
                self.explore(traffic, &mut known, question, form, error)
                    .await
            }
            Err(Failure::Transport(_)) if !is_proven && traffic.reached.load(Ordering::SeqCst) => {
                self.send(traffic, question, &form, MOST_FAILURES).await
            }
            failed => failed,
        }
    }

    async fn send(
        &self,
        traffic: &Traffic,
        question: &Question,
        form: &Form,
        most_failures: usize,
    ) -> Result<Said, Failure> {
        let body = form.body(&self.model, question);
        let teaches = |error: &ServerError| teaches(form, error, question);
        traffic.send(&body, most_failures, &teaches).await
    }

    /// Tries other forms after a refusal: those that its words name, and where nothing was ever answered also others.
    async fn explore(
        &self,
        traffic: &Traffic,
        known: &mut Known,
        question: &Question,
        first: Form,
        refusal: ServerError,
    ) -> Result<Said, Failure> {
        let sizes = sizes::read(
            &refusal.words(),
            first.most_tokens(question),
            question.estimated_tokens(),
        );
        if let Some(context) = sizes.and_then(|sizes| sizes.context) {
            self.context.store(context, Ordering::SeqCst);
        }
        let is_new = !known.proven[usize::from(question.logprobs)];
        let guesses = is_new && refusal.may_be_the_form() && sizes.is_none();
        let (mut base, mut error) = (first, refusal.clone());
        let mut tried = vec![first];
        let mut guessed = false;
        'progress: loop {
            let named = if error.may_teach() {
                base.named(&error, question)
            } else {
                Vec::new()
            };
            let n_named = named.len();
            let others = if guesses {
                base.guesses(question)
            } else {
                Vec::new()
            };
            for (idx, form) in named.into_iter().chain(others).enumerate() {
                if tried.contains(&form) || form.asks_like(&base, question) {
                    continue;
                }
                if tried.len() >= MOST_TRIED {
                    break 'progress;
                }
                tried.push(form);
                let is_guess = guessed || idx >= n_named;
                match self.send(traffic, question, &form, 1).await {
                    Ok(said) => {
                        known.fuller = is_guess.then_some(first).or(known.fuller);
                        self.keep(traffic, known, question, form);
                        return Ok(said);
                    }
                    Err(Failure::Said(next)) => {
                        // The same words again: that was not it, unless it went on to a shorter answer.
                        let sizes = form.most_tokens(question).zip(base.most_tokens(question));
                        let is_shorter = sizes.is_some_and(|(now, before)| now < before);
                        if is_shorter || !next.says_the_same(&error) {
                            (base, error, guessed) = (form, next, is_guess);
                            continue 'progress;
                        }
                    }
                    Err(failure) => return Err(failure),
                }
            }
            break;
        }
        let barest = first.barest();
        if guesses && !tried.contains(&barest) {
            match self.send(traffic, question, &barest, 1).await {
                Ok(said) => {
                    known.fuller = Some(first);
                    self.keep(traffic, known, question, barest);
                    return Ok(said);
                }
                Err(Failure::Said(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        if refusal.status >= 500 && is_new {
            // It was not the form: the server may recover.
            let said = self.send(traffic, question, &first, MOST_FAILURES).await?;
            self.keep(traffic, known, question, first);
            return Ok(said);
        }
        Err(Failure::Said(refusal))
    }

    /// Keeps a form that was answered.
    fn keep(&self, traffic: &Traffic, known: &mut Known, question: &Question, form: Form) {
        let is_first = known.proven == [false; 2];
        let is_other = known.form != form;
        known.form = form;
        known.proven[usize::from(question.logprobs)] = true;
        if let Some(context) = form.context() {
            self.context.store(context, Ordering::SeqCst);
        }
        if is_first || is_other {
            self.tell(traffic, &form);
        }
    }

    fn tell(&self, traffic: &Traffic, form: &Form) {
        let shown = &traffic.address.shown;
        traffic
            .job
            .progress
            .note(&format!("the server at {shown} {form}"));
    }

    /// Tries the limit's other name from now on, once, if an answer was longer than its limit.
    async fn checked(
        &self,
        traffic: &Traffic,
        question: &Question,
        form: &Form,
        said: Said,
    ) -> Said {
        let most = form.most_tokens(question);
        let is_longer = most
            .zip(said.completion_tokens)
            .is_some_and(|(most, used)| used > most + most / 8 + 16);
        if is_longer {
            let mut known = self.known.lock().await;
            if !known.doubted_limit && known.form == *form {
                known.doubted_limit = true;
                known.form = form.with_other_limit();
                self.tell(traffic, &known.form);
            }
        }
        said
    }
}

/// Whether a server's error names a part of a request that could be otherwise.
fn teaches(form: &Form, error: &ServerError, question: &Question) -> bool {
    error.may_teach() && !form.named(error, question).is_empty()
}
