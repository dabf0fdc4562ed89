//! A chat model as judge.

use minijinja::Value as PromptValue;

use crate::persona::{ChatJudge, JudgeInput, NliProbabilities};
use crate::teacher::chat::labels::{NLI, RELEVANCE};
use crate::teacher::chat::tasks::{Kind, LABEL, RELEVANT, Task};
use crate::teacher::chat::{ChatTeacher, judged, parse};
use crate::{Error, Result};

impl ChatJudge for ChatTeacher {
    fn concurrency(&self) -> usize {
        self.model.concurrency()
    }

    fn relevance(&self, character: &str, statement: &str, query: &str) -> Result<f64> {
        let values = [statement.into(), [query].into_iter().collect()];
        let p = self.judge(&RELEVANT, &RELEVANCE, character, &values)?;
        Ok(p[1])
    }

    fn nli(&self, input: &JudgeInput<'_>) -> Result<NliProbabilities> {
        let values = [
            input.statement.into(),
            input.query.into(),
            input.response.into(),
        ];
        let p = self.judge(&LABEL, &NLI, input.character, &values)?;
        Ok(NliProbabilities {
            contradicted: p[0],
            neutral: p[1],
            entailed: p[2],
        })
    }
}

impl ChatTeacher {
    /// Returns the probabilities of a task's labels: from the token probabilities if the model returns them, else 1 for the
    /// label that it replies with.
    fn judge(
        &self,
        task: &Task,
        labels: &[&[&str]],
        character: &str,
        values: &[PromptValue],
    ) -> Result<Vec<f64>> {
        let mut question = self.question(task, character, values);
        question.logprobs = true;
        let judged = self.ask_twice(question, |given| {
            if let Some(probabilities) = judged::probabilities(&given.logprobs, labels) {
                return Ok(probabilities);
            }
            let said = match task.fields[0].1 {
                Kind::SomeOf(_) => parse::labels(&given.reply, task.field(), labels, 1)?[0],
                _ => parse::label(&given.reply, task.field(), labels)?,
            };
            self.tell_certain();
            let p = |label_idx| f64::from(u8::from(label_idx == said));
            Ok((0..labels.len()).map(p).collect())
        })?;
        judged.ok_or_else(|| {
            let rejected = self.state().outcome.rejected.pop();
            let reason = rejected.map_or(String::new(), |rejected| rejected.reason);
            let again = match &self.path {
                Some(path) => format!("remove {} to ask it again", path.display()),
                None => "ask it again".to_string(),
            };
            Error::Teacher(format!(
                "{} gave no usable judgement, twice: {reason}; choose another judge, or {again}",
                self.model.name()
            ))
        })
    }

    /// Tells once that labels count as certain.
    fn tell_certain(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.is_certain, true) {
            self.model.tell(&format!(
                "{} returns no log-probabilities: each label that it gives gets probability 1",
                self.model.name()
            ));
        }
    }
}
