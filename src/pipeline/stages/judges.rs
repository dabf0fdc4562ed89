//! The judges that reward: as they are, or fine-tuned on the [data](super::judge_data) that the teacher writes.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::files::Checkpoint;
use crate::persona::{
    JudgeFormat, JudgeInput, JudgeReader, JudgeSource, JudgeTask, JudgeTemplate, LocalJudge,
    NliExample, RelevanceExample, find_judge, read_format, read_grading_format,
};
use crate::pipeline::finetune::{Classes, FineTune, FineTuneConfig};
use crate::pipeline::models::{Judges, about, identity};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::settings::{ModelChoice, Scale};
use crate::pipeline::stages::judge_data;
use crate::progress::Job;
use crate::teacher::chat::Language;
use crate::text::{ByteFallback, EncodedText, Tokenizer};
use crate::{Error, Result, files};

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
/// Public judges by other people than the original's, to grade with.
const GRADING_ENGLISH: OnHub = OnHub {
    relevance: "BAAI/bge-reranker-v2-m3",
    nli: "MoritzLaurer/DeBERTa-v3-large-mnli-fever-anli-ling-wanli",
};
/// The same for other languages.
const GRADING_MULTILINGUAL: OnHub = OnHub {
    relevance: "BAAI/bge-reranker-v2-m3",
    nli: "MoritzLaurer/mDeBERTa-v3-base-xnli-multilingual-nli-2mil7",
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

/// The judges that are used as they are, or fine-tuned: those that were named, else those that fit the model and the
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
    let chosen = [&settings.relevance, &settings.nli];
    choose(chosen, default, &run.judges, |name, given, task| {
        let templates = settings.templates.as_deref();
        let mut judge = match name {
            Some(name) => find_judge(&run.hub, name, task, templates)?,
            None => given.clone(),
        };
        if let (None, None, Some(path)) = (name, &judge.format.template, templates) {
            judge.format = read_format(path, task)?;
        }
        let asked = match task {
            JudgeTask::Relevance => &settings.relevance_format,
            JudgeTask::Nli => &settings.nli_format,
        };
        judge.format = asked.clone().or(judge.format);
        judge.precision = settings.precision;
        if settings.use_pretrained {
            LocalJudge::check(&judge, task)?;
        }
        Ok(judge)
    })
}

/// The judges that grade: those that were named, else those that fit the model and the page's language.
pub(in crate::pipeline) fn find_graders(run: &Run<'_>) -> Result<Judges> {
    let settings = &run.config.judges;
    let is_english = Language::of(run.page.text()) == Language::English;
    let default = match (run.config.prp_scale, is_english) {
        (Scale::Tiny, _) => None,
        (_, true) => Some(GRADING_ENGLISH),
        (_, false) => Some(GRADING_MULTILINGUAL),
    };
    let chosen = [&settings.grading_relevance, &settings.grading_nli];
    choose(chosen, default, &run.graders, |name, given, task| {
        let Some(name) = name else {
            return Ok(given.clone());
        };
        let mut judge = find_judge(&run.hub, name, task, None)?;
        if let Some(path) = &settings.templates {
            judge.format = read_grading_format(path, task)?.or(judge.format);
        }
        judge.precision = settings.precision;
        LocalJudge::check(&judge, task)?;
        Ok(judge)
    })
}

/// Chooses a judge for each task and finds both with `find`, which gets the judge's name and the one of [`Sources`]; no name
/// if the latter is wanted.
///
/// [`Sources`]: crate::pipeline::Sources
fn choose(
    [relevance, nli]: [&Option<ModelChoice>; 2],
    default: Option<OnHub>,
    given: &Judges,
    find: impl Fn(Option<&Path>, &JudgeSource, JudgeTask) -> Result<JudgeSource>,
) -> Result<Judges> {
    let default = default.as_ref();
    let relevance = name_in(relevance, default.map(|default| default.relevance));
    let nli = name_in(nli, default.map(|default| default.nli));
    Ok(Judges {
        relevance: find(relevance, &given.relevance, JudgeTask::Relevance)?,
        nli: find(nli, &given.nli, JudgeTask::Nli)?,
    })
}

/// The name in a choice, or the default's if nothing was chosen.
fn name_in<'a>(chosen: &'a Option<ModelChoice>, default: Option<&'a str>) -> Option<&'a Path> {
    match chosen {
        Some(ModelChoice::Given) => None,
        Some(ModelChoice::Named(name)) => Some(name),
        None => default.map(Path::new),
    }
}

/// Whether no judge that grades took part in the reward; tells of one that did: replies may have learnt what pleases it, and
/// no more.
pub(in crate::pipeline) fn grade_apart(run: &Run<'_>) -> Result<bool> {
    let mut are_apart = true;
    if !run.config.judges.use_pretrained {
        return Ok(are_apart);
    }
    for (rewards, grades, task) in [
        (
            &run.judges.relevance,
            &run.graders.relevance,
            JudgeTask::Relevance,
        ),
        (&run.judges.nli, &run.graders.nli, JudgeTask::Nli),
    ] {
        if rewards.checkpoint.hash()? == grades.checkpoint.hash()? {
            are_apart = false;
            let name = grades.checkpoint.name();
            run.job.progress.note(&format!(
                "{} is used for the reward and for the evaluation, which biases the evaluation; name another judge with `grading_{}`",
                name,
                name_of(task)
            ));
        }
    }
    Ok(are_apart)
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
    /// The logit of each class in what is fine-tuned; none if it has other classes.
    logits: Vec<usize>,
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
        let format = base.format()?;
        let template = format.template.unwrap_or_else(|| task.template());
        let refused = |reason: String| Error::invalid(base.checkpoint.name(), reason);
        template.check().map_err(refused)?;
        let logits = task.logits(&base.checkpoint, format.labels.as_ref())?;
        let work = format!("{}.training", name_of(task));
        Ok(Self {
            task,
            base: base.clone(),
            template,
            logits,
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
            .with_settings(json!({
                "base": self.base.checkpoint.hash()?,
                "template": JudgeFormat::from(self.template.clone()),
            }))
            .with_settings(match &self.base.format.labels {
                Some(labels) => json!({"labels": labels}),
                None => json!({}),
            })
            .with_about(json!({"base_name": self.base.checkpoint.reference(&run.config.output)}))
            .reads("data", &self.data)
            .writes(Output::result(&self.output))
            .writes(Output::work(&self.work)))
    }

    /// What the judge reads, and the classes: texts that are too long for it are shortened.
    fn texts(
        &self,
        character: &str,
        tokenizer: &Tokenizer,
        max_tokens: usize,
        job: &Job,
    ) -> Result<Vec<(EncodedText, usize)>> {
        let reader = JudgeReader::new(tokenizer, &self.template, max_tokens)?;
        let (relevance, nli): (Vec<RelevanceExample>, Vec<NliExample>);
        let input = |statement, query, response| JudgeInput {
            character,
            statement,
            query,
            response,
        };
        let (inputs, labels): (Vec<JudgeInput<'_>>, Vec<usize>) = match self.task {
            JudgeTask::Relevance => {
                relevance = files::read_jsonl(&self.data)?;
                let examples = relevance.iter();
                examples
                    .map(|one| (input(&one.statement, &one.query, ""), one.label as usize))
                    .unzip()
            }
            JudgeTask::Nli => {
                nli = files::read_jsonl(&self.data)?;
                let examples = nli.iter();
                examples
                    .map(|one| {
                        (
                            input(&one.statement, &one.query, &one.response),
                            one.label as usize,
                        )
                    })
                    .unzip()
            }
        };
        let (texts, n_cut) = reader.encode(&inputs)?;
        if n_cut > 0 {
            job.progress.note(&format!(
                "truncated {n_cut} of {} texts to the judge's limit of {max_tokens} tokens",
                inputs.len()
            ));
        }
        Ok(texts.into_iter().zip(labels).collect())
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
            classes: Some(Classes {
                names: task.labels(),
                logits: &tuning.logits,
            }),
        }
        .run(
            &|tokenizer, max_tokens| {
                tuning.texts(&run.config.character, tokenizer, max_tokens, run.job)
            },
            run.devices,
            run.job,
        )?;
        JudgeFormat::from(tuning.template.clone()).save(&tuning.output)?;
        stage.complete()?;
        // The checkpoints have done their part.
        files::remove_dir(&tuning.work.join("checkpoint"))?;
    }
    Ok(())
}
