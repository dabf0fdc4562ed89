//! The judges that reward: as they are, or fine-tuned on the [data](super::judge_data) that the teacher writes.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::files::Checkpoint;
use crate::persona::{
    JudgeInput, JudgeSource, JudgeTask, JudgeTemplate, NliExample, RelevanceExample, find_judge,
    read_template,
};
use crate::pipeline::finetune::{FineTune, FineTuneConfig};
use crate::pipeline::models::{Judges, about, identity};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::settings::{ModelChoice, Scale};
use crate::pipeline::stages::judge_data;
use crate::teacher::chat::Language;
use crate::text::ByteFallback;
use crate::{Result, files};

/// A pair of judges on the hub.
struct OnHub {
    relevance: &'static str,
    nli: &'static str,
}

/// The original's discriminators.
const PUBLISHED_ENGLISH: OnHub = OnHub {
    relevance: "KomeijiForce/deberta-v3-large-relevance-12character",
    nli: "KomeijiForce/deberta-v3-large-nli-12character",
};
/// The same for other languages.
const PUBLISHED_MULTILINGUAL: OnHub = OnHub {
    relevance: "KomeijiForce/xlm-roberta-large-relevance-multilingual-12character",
    nli: "KomeijiForce/xlm-roberta-large-nli-multilingual-12character",
};
/// What the original fine-tunes.
const BASE_ENGLISH: OnHub = OnHub {
    relevance: "microsoft/deberta-v3-large",
    nli: "microsoft/deberta-v3-large",
};
/// The same for other languages.
const BASE_MULTILINGUAL: OnHub = OnHub {
    relevance: "FacebookAI/xlm-roberta-large",
    nli: "FacebookAI/xlm-roberta-large",
};

/// The judges that are used as they are, or fine-tuned: those that were named, else those that fit the Gemma and the
/// page's language.
pub(in crate::pipeline) fn find(run: &Run<'_>) -> Result<Judges> {
    let (config, settings) = (run.config, &run.config.judges);
    let is_english = Language::of(run.page.text()) == Language::English;
    let default = match (config.prp_scale, settings.use_pretrained, is_english) {
        (Scale::Tiny, _, _) => None,
        (_, true, true) => Some(PUBLISHED_ENGLISH),
        (_, true, false) => Some(PUBLISHED_MULTILINGUAL),
        (_, false, true) => Some(BASE_ENGLISH),
        (_, false, false) => Some(BASE_MULTILINGUAL),
    };
    let choose = |chosen: &Option<ModelChoice>, on_hub, given: &JudgeSource, task| {
        let templates = settings.templates.as_deref();
        let name = match chosen {
            Some(ModelChoice::Given) => None,
            Some(ModelChoice::Named(name)) => Some(name.as_path()),
            None => on_hub,
        };
        let mut judge = match name {
            Some(name) => find_judge(&run.hub, name, task, templates)?,
            None => given.clone(),
        };
        if let (None, Some(path)) = (&judge.template, templates) {
            judge.template = Some(read_template(path, task)?);
        }
        judge.precision = settings.precision;
        Ok(judge)
    };
    let (relevance, nli) = match &default {
        None => (None, None),
        Some(OnHub { relevance, nli }) => (Some(Path::new(relevance)), Some(Path::new(nli))),
    };
    let given = &run.judges;
    Ok(Judges {
        relevance: choose(
            &settings.relevance,
            relevance,
            &given.relevance,
            JudgeTask::Relevance,
        )?,
        nli: choose(&settings.nli, nli, &given.nli, JudgeTask::Nli)?,
    })
}

/// The judges that reward: those that were found, or what is made of them.
pub(in crate::pipeline) fn rewarding(run: &Run<'_>) -> Judges {
    if run.config.judges.use_pretrained {
        return run.judges.clone();
    }
    let own = |task| {
        let mut own = JudgeSource::from(Checkpoint::folder(own_path(run, task)));
        own.precision = run.config.judges.precision;
        own
    };
    Judges {
        relevance: own(JudgeTask::Relevance),
        nli: own(JudgeTask::Nli),
    }
}

/// The same stage, whose judge no stage makes.
pub(super) fn spec_with_judge(
    run: &Run<'_>,
    spec: StageSpec,
    judge: &JudgeSource,
) -> Result<StageSpec> {
    Ok(spec
        .with_settings(json!({"judge": identity(judge)?}))
        .with_about(json!({"judge": about(judge, &run.config.output)})))
}

/// The same stage, which reads a rewarding judge.
pub(super) fn reads_rewarding(
    run: &Run<'_>,
    spec: StageSpec,
    task: JudgeTask,
) -> Result<StageSpec> {
    let judges = rewarding(run);
    let judge = match task {
        JudgeTask::Relevance => judges.relevance,
        JudgeTask::Nli => judges.nli,
    };
    let use_pretrained = run.config.judges.use_pretrained;
    let spec = spec.with_settings(json!({"use_pretrained_discriminator": use_pretrained}));
    if use_pretrained {
        return spec_with_judge(run, spec, &judge);
    }
    Ok(spec
        .with_settings(json!({"judge_precision": judge.precision}))
        .reads("judge", own_path(run, task))
        .with_about(json!({"judge": about(&judge, &run.config.output)})))
}

fn name_of(task: JudgeTask) -> &'static str {
    match task {
        JudgeTask::Relevance => "relevance",
        JudgeTask::Nli => "nli",
    }
}

/// Where a fine-tuned judge goes.
fn own_path(run: &Run<'_>, task: JudgeTask) -> PathBuf {
    run.layout.models.join(name_of(task))
}

const TASKS: [JudgeTask; 2] = [JudgeTask::Relevance, JudgeTask::Nli];

/// A judge's fine-tuning.
struct Tuning {
    task: JudgeTask,
    base: JudgeSource,
    template: JudgeTemplate,
    config: FineTuneConfig,
    data: PathBuf,
    output: PathBuf,
    work: PathBuf,
}

impl Tuning {
    fn new(run: &Run<'_>, task: JudgeTask) -> Result<Self> {
        let settings = &run.config.judges;
        let (base, epochs) = match task {
            JudgeTask::Relevance => (&run.judges.relevance, settings.relevance_epochs),
            JudgeTask::Nli => (&run.judges.nli, settings.nli_epochs),
        };
        // A model that is no judge yet is asked as the embedded ones are.
        let template = match &base.template {
            None if !JudgeTemplate::is_in(&base.checkpoint) => task.template(),
            _ => base.template()?,
        };
        let work = format!("{}.training", name_of(task));
        Ok(Self {
            task,
            base: base.clone(),
            template,
            config: FineTuneConfig::new(epochs).with_seed(run.config.seed),
            data: judge_data::path(run, task),
            output: own_path(run, task),
            work: run.layout.models.join(work),
        })
    }

    fn spec(&self, run: &Run<'_>) -> Result<StageSpec> {
        Ok(run
            .stage(&format!("judge-{}", name_of(self.task)))
            .with_settings(json!(self.config))
            .with_settings(json!({"base": self.base.checkpoint.hash()?, "template": self.template}))
            .with_about(json!({"base_name": self.base.checkpoint.reference(&run.config.output)}))
            .reads("data", &self.data)
            .writes(Output::result(&self.output))
            .writes(Output::work(&self.work)))
    }

    /// The texts that the judge reads, and their classes.
    fn texts(&self, character: &str) -> Result<Vec<(String, usize)>> {
        let render = |statement: &str, query: &str, response: &str| {
            self.template.render(&JudgeInput {
                character,
                statement,
                query,
                response,
            })
        };
        Ok(match self.task {
            JudgeTask::Relevance => files::read_jsonl::<RelevanceExample>(&self.data)?
                .iter()
                .map(|one| (render(&one.statement, &one.query, ""), one.label as usize))
                .collect(),
            JudgeTask::Nli => files::read_jsonl::<NliExample>(&self.data)?
                .iter()
                .map(|one| {
                    let text = render(&one.statement, &one.query, &one.response);
                    (text, one.label as usize)
                })
                .collect(),
        })
    }
}

pub(super) fn fine_tune_specs(run: &Run<'_>) -> Result<Vec<StageSpec>> {
    if run.config.judges.use_pretrained {
        return Ok(Vec::new());
    }
    let spec = |task| Tuning::new(run, task)?.spec(run);
    TASKS.into_iter().map(spec).collect()
}

/// Fine-tunes both judges, if they are not used as they are.
pub(in crate::pipeline) fn fine_tune(run: &mut Run<'_>) -> Result<()> {
    if run.config.judges.use_pretrained {
        return Ok(());
    }
    for task in TASKS {
        let tuning = Tuning::new(run, task)?;
        let mut stage = run.open(tuning.spec(run)?)?;
        if stage.is_complete() {
            continue;
        }
        FineTune {
            label: name_of(task),
            config: &tuning.config,
            base: &tuning.base.checkpoint,
            output: &tuning.output,
            work: &tuning.work,
            byte_fallback: ByteFallback::Unknown,
            record_steps: false,
        }
        .run(&tuning.texts(&run.config.character)?, run.devices, run.job)?;
        tuning.template.save(&tuning.output)?;
        stage.complete()?;
        // The checkpoints have done their part.
        files::remove_dir(&tuning.work.join("checkpoint"))?;
    }
    Ok(())
}
