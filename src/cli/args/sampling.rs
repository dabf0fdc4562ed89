//! How the tokens of a reply are drawn.

use clap::Args;

use crate::Result;
use crate::files::{Checkpoint, read_generation_defaults};
use crate::persona::AnswerConfig;
use crate::progress::Job;

#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct SamplingArgs {
    /// 0 takes the likeliest token, 1 draws from the model's own distribution [default: what the model's
    /// generation_config.json advises, else 0.3].
    #[arg(long, value_name = "X")]
    temperature: Option<f32>,
    /// Draw from so many of the likeliest tokens only [default: what the model's generation_config.json advises].
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens whose probabilities reach this sum only [default: what the model's
    /// generation_config.json advises].
    #[arg(long, value_name = "X")]
    top_p: Option<f32>,
}

impl SamplingArgs {
    /// The settings with what was said in place of theirs.
    pub(crate) fn over(self, config: AnswerConfig) -> AnswerConfig {
        AnswerConfig {
            temperature: self.temperature.unwrap_or(config.temperature),
            top_k: self.top_k.or(config.top_k),
            top_p: self.top_p.or(config.top_p),
            ..config
        }
    }

    /// The settings with what the model's makers advise, and over that what was said; tells the advice that is followed.
    pub(crate) fn choose(
        self,
        config: AnswerConfig,
        model: &Checkpoint,
        job: &Job,
    ) -> Result<AnswerConfig> {
        // Whoever takes the likeliest token has no use for advice on drawing.
        let is_greedy = self.temperature == Some(0.0);
        let Some(advice) = read_generation_defaults(model)?.filter(|_| !is_greedy) else {
            return Ok(self.over(config));
        };
        let advised = Self {
            temperature: advice.temperature.or(Some(1.0)),
            top_k: advice
                .top_k
                .and_then(|top_k| usize::try_from(top_k).ok())
                .filter(|&top_k| top_k > 0),
            top_p: advice.top_p,
        };
        let followed = [
            self.temperature
                .is_none()
                .then(|| advised.temperature.map(|x| format!("temperature {x}"))),
            self.top_k
                .is_none()
                .then(|| advised.top_k.map(|n| format!("top_k {n}"))),
            self.top_p
                .is_none()
                .then(|| advised.top_p.map(|x| format!("top_p {x}"))),
        ];
        let followed: Vec<String> = followed.into_iter().flatten().flatten().collect();
        if !followed.is_empty() {
            let name = model.name();
            job.progress.note(&format!(
                "replies are drawn as {name} advises: {}",
                followed.join(", ")
            ));
        }
        Ok(self.over(advised.over(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_before_what_the_model_advises_and_that_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = |said: SamplingArgs, json: &str| {
            std::fs::write(folder.path().join("generation_config.json"), json).unwrap();
            let model = Checkpoint::folder(folder.path());
            let config = said.choose(AnswerConfig::new(), &model, &Job::default());
            let config = config.unwrap();
            (config.temperature, config.top_k, config.top_p)
        };
        let advice = r#"{"do_sample": true, "temperature": 1.0, "top_k": 64, "top_p": 0.95}"#;
        let said = SamplingArgs {
            temperature: Some(0.5),
            ..SamplingArgs::default()
        };
        let nothing = SamplingArgs::default();
        assert_eq!(chosen(nothing, advice), (1.0, Some(64), Some(0.95)));
        assert_eq!(chosen(said, advice), (0.5, Some(64), Some(0.95)));
        for none in ["{}", r#"{"temperature": 0.6, "do_sample": false}"#] {
            assert_eq!(chosen(nothing, none), (0.3, None, None));
        }
    }
}
