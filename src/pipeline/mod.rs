//! The stages from a page to an adapter, in order, with their files.

mod config;
mod discriminators;
mod dpo;
mod evaluate;
mod finetune;
mod page;
mod record;
mod replies;
mod run;
mod sampling;

mod teach;
mod train;

pub use config::{Scale, TrainConfig};
pub use discriminators::Discriminators;
pub use dpo::{DpoRun, DpoSummary, DpoTrained};
pub use evaluate::{Evaluation, Interval, bootstrap_interval};
pub use finetune::{FineTune, FineTuned};
pub(crate) use page::check_name;
pub use page::{find_page, read_page};
pub use record::{Stage, file_hash};
pub use replies::{SampledReplies, Sampler, sample_replies};
pub use train::{TeachSummary, TrainSummary, locate, plan, teach, train};
