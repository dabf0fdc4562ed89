//! `apc models`.

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::cli::output::{Format, print_as_it_is, print_json};
use crate::files::{Dtype, Precision};
use crate::progress::Job;
use crate::text::{PUBLISHED, PublishedModel, Requirements, Work};
use crate::{Error, Result, memory};

#[derive(Args, Debug)]
pub(crate) struct ModelsArgs {
    /// Memory that there is, such as 8GB or 15.5GiB [default: what is free on this machine now].
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// What the model will run on: weights are in float32 on a CPU and in bfloat16 on a graphics card, or where that does not
    /// fit in nf4.
    #[arg(long, value_enum, default_value = "cpu")]
    on: Place,
    /// Also list what does not fit.
    #[arg(long)]
    all: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// The processor.
    Cpu,
    /// A graphics card.
    Gpu,
}

impl Place {
    /// The precisions to choose from, the most exact first.
    fn precisions(self) -> [Precision; 2] {
        let dtype = match self {
            Self::Cpu => Dtype::Float32,
            Self::Gpu => Dtype::Bfloat16,
        };
        let dense = Precision::from(dtype);
        [dense, dense.in_nf4()]
    }
}

/// A model, and what it needs.
#[derive(Serialize)]
struct Listed {
    model: &'static str,
    parameters: u64,
    licence: &'static str,
    gated: bool,
    chat: Vec<Need>,
    dpo: Vec<Need>,
}

/// What some work needs in one precision.
#[derive(Clone, Serialize)]
struct Need {
    dtype: &'static str,
    quantization: &'static str,
    bytes: u64,
    fits: bool,
}

/// Tokens of a conversation, and of a reply.
const CONTEXT: usize = 4096;
const REPLY: usize = 256;
/// DPO with gradient checkpointing, on batches of pairs of so many tokens each.
const RANK: usize = 32;
const PAIRS: usize = 4;
const PAIR_TOKENS: usize = 256;

impl Listed {
    fn new(model: &PublishedModel, place: Place, free: u64) -> Self {
        let shape = (model.shape)();
        let needs = |work: &Work| -> Vec<Need> {
            let need = |precision: Precision| {
                let bytes = Requirements::of(&shape, precision, work).total();
                Need {
                    dtype: precision.dtype.name(),
                    quantization: precision.quantization.name(),
                    bytes,
                    fits: bytes <= free,
                }
            };
            place.precisions().map(need).to_vec()
        };
        let chat = Work::Reply {
            tokens: CONTEXT,
            new_tokens: REPLY,
        };
        let dpo = Work::Train {
            rank: RANK,
            factor_bytes: 4,
            batch_size: PAIRS,
            seq: PAIR_TOKENS,
            gradient_checkpointing: true,
        };
        Self {
            model: model.name,
            parameters: shape.size().total(),
            licence: model.licence,
            gated: model.is_gated,
            chat: needs(&chat),
            dpo: needs(&dpo),
        }
    }

    fn fits(&self) -> bool {
        self.chat.iter().any(|need| need.fits)
    }

    /// In which precision it can be trained, the most exact one.
    fn trains(&self) -> Option<&Need> {
        self.dpo.iter().find(|need| need.fits)
    }
}

/// The most exact precision that fits, and what it needs; else what the smallest one would need.
fn told(needs: &[Need]) -> String {
    let size = |need: &Need| ByteSize(need.bytes).display().si().to_string();
    match needs.iter().find(|need| need.fits) {
        Some(need) if need.quantization != "none" => {
            format!("{} {}", need.quantization, size(need))
        }
        Some(need) => format!("{} {}", need.dtype, size(need)),
        None => match needs.last() {
            Some(need) => format!("needs {}", size(need)),
            None => String::new(),
        },
    }
}

impl ModelsArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let free = match (self.memory, self.on) {
            (Some(memory), _) if memory < ByteSize::mb(1) => {
                let reason = format!(
                    "is {memory}, in which nothing fits; give it with a unit, such as 12GB"
                );
                return Err(Error::setting("memory", reason));
            }
            (Some(memory), _) => memory.as_u64(),
            (None, Place::Cpu) => memory::available(),
            (None, Place::Gpu) => {
                let reason = "is not given, but how much memory a graphics card has free is not known; give it, such as 12GB";
                return Err(Error::setting("memory", reason));
            }
        };
        let all = PUBLISHED
            .iter()
            .map(|model| Listed::new(model, self.on, free));
        let listed: Vec<Listed> = all.filter(|listed| self.all || listed.fits()).collect();
        if self.format == Format::Json {
            return print_json(&listed);
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["model", "parameters", "licence", "chat", "dpo"]);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for listed in &listed {
            let gated = if listed.gated { ", gated" } else { "" };
            table.add_row([
                listed.model.to_string(),
                format!("{:.2}B", listed.parameters as f64 / 1e9),
                format!("{}{gated}", listed.licence),
                told(&listed.chat),
                told(&listed.dpo),
            ]);
        }
        let free = ByteSize(free).display().si();
        job.progress.note(&format!(
            "with {free} of memory; chat of {CONTEXT} tokens, dpo with LoRA of rank {RANK} on batches of {PAIRS} pairs of {PAIR_TOKENS} tokens \
             and gradient checkpointing; for a gated model, accept the terms on its page before you download it"
        ));
        if listed.is_empty() {
            let note = "none of the models fits; --all lists what each of them would need";
            job.progress.note(note);
            return Ok(());
        }
        print_as_it_is(&table.to_string())?;
        let free_ones = listed.iter().rev().filter(|listed| !listed.gated);
        let example = free_ones.filter_map(|listed| Some((listed.model, listed.trains()?)));
        if let Some((model, need)) = example.into_iter().next() {
            let quantization = match need.quantization {
                "none" => String::new(),
                name => format!(" --quantization {name}"),
            };
            job.progress.note(&format!(
                "next: apc train --character NAME --model {model}{quantization}"
            ));
        }
        Ok(())
    }
}
