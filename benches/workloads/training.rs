//! The workloads that train.

use std::time::Instant;

use apc::Result;
use apc::files::{Checkpoint, Precision};
use apc::nn::LoraConfig;
use apc::parallel::Replicas;
use apc::persona::Nli;
use apc::pipeline::{DpoRun, DpoTraining, FineTune, FineTuneConfig};
use apc::text::{ByteFallback, Tokenizer};
use apc::train::{DpoExample, DpoPair};

use crate::floors::{classifier_bytes, classifier_flops, forward_flops};
use crate::models::Size;
use crate::{Bench, Measured};

impl Bench<'_> {
    pub(crate) fn dpo(&mut self) -> Result<Measured> {
        let batch_size = self.arguments.batch_size;
        let (rank, prompt, reply) = match self.models.size {
            Size::Tiny | Size::Mid => (16, 200, 20..60),
            Size::Gemma2b | Size::Gemma7b => (128, 448, 40..64),
        };
        let gemma = self.models.gemma(&mut self.rng)?;
        let pairs: Vec<DpoExample> = (0..self.arguments.pairs)
            .map(|_| DpoExample {
                prompt: self.ids(prompt..prompt + 1),
                pairs: vec![DpoPair {
                    chosen: self.ids(reply.clone()),
                    rejected: self.ids(reply.clone()),
                    reference: [0.0; 2],
                }],
            })
            .collect();
        let config = self.models.size.gemma();
        let flops: f64 = pairs
            .iter()
            .map(|example| {
                let replies = example.len() - example.prompt.len();
                let once = forward_flops(&config, example.len(), replies);
                // The reference, the policy, and the gradients of what is between the factors.
                3.0 * once
            })
            .sum();
        let bases = Replicas::new(gemma, &self.models.device.clone().into());
        let run = || {
            let folder = tempfile::tempdir().expect("a folder for the adapter");
            let run = DpoRun {
                training: &DpoTraining::new(LoraConfig::new(rank, rank as f64))
                    .with_lora_dtype(self.arguments.lora_dtype.into())
                    .with_batch_size(batch_size)
                    .with_learning_rate(1e-4)
                    .with_seed(0)
                    .with_shuffle(false),
                adapter: None,
                base: &Checkpoint::folder("random"),
                precision: Precision::default(),
                output: folder.path(),
                work: &folder.path().join("work"),
                gradient_checkpointing: self.arguments.gradient_checkpointing,
                record_steps: false,
            };
            run.run(&bases, pairs.clone(), &self.job)
        };
        if self.warms_up() {
            run()?;
        }
        let trained = run()?;
        Ok(Measured {
            name: "dpo".into(),
            work: pairs.len() as f64,
            unit: "pairs",
            seconds: trained.reference_seconds + pairs.len() as f64 / trained.pairs_per_second,
            flops,
            bytes: 3.0 * self.models.gemma_bytes() * pairs.len().div_ceil(batch_size) as f64,
        })
    }

    pub(crate) fn finetune(&mut self) -> Result<Measured> {
        const TEXTS: usize = 32;
        const BATCH: usize = 8;
        let folder = tempfile::tempdir().expect("a folder for the classifier");
        let base = folder.path().join("base");
        self.models.save_classifier(&base, &Nli::NAMES)?;
        let texts: Vec<(String, usize)> = (0..TEXTS)
            .map(|idx| (self.text(40..160), idx % 3))
            .collect();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(&base))?;
        let config = self.models.size.classifier(3);
        let mut flops = 0.0;
        for (text, _) in &texts {
            flops += 3.0 * classifier_flops(&config, tokenizer.encode(text)?.len());
        }
        let run = |output: &str| {
            let run = FineTune {
                label: "finetune",
                config: &FineTuneConfig::new(1)
                    .with_batch_size(BATCH)
                    .with_held_out(0.0)
                    .with_shuffle(false)
                    .with_seed(0),
                base: &Checkpoint::folder(&base),
                output: &folder.path().join(output),
                work: &folder.path().join(format!("{output}-work")),
                byte_fallback: ByteFallback::Unknown,
                record_steps: false,
                classes: None,
            };
            let encode = |tokenizer: &Tokenizer, _: usize| {
                let encode =
                    |(text, label): &(String, usize)| Ok((tokenizer.encode(text)?.into(), *label));
                texts.iter().map(encode).collect()
            };
            run.run(&encode, &self.models.device.clone().into(), &self.job)
        };
        if self.warms_up() {
            run("warm")?;
        }
        let start = Instant::now();
        run("out")?;
        Ok(Measured {
            name: "finetune".into(),
            work: TEXTS as f64,
            unit: "texts",
            seconds: start.elapsed().as_secs_f64(),
            flops,
            // Forward and backward; AdamW reads gradients, moments and weights, and writes all but the first.
            bytes: (2.0 + 7.0) * classifier_bytes(&config) * TEXTS.div_ceil(BATCH) as f64,
        })
    }
}
