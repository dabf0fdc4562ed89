//! Numbers of a step as burn's metrics.

use std::sync::Arc;

use burn::tensor::{ExecutionError, TensorReadError};
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Adaptor, ItemLazy, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric,
    NumericAttributes, NumericEntry, SerializedEntry,
};

/// Named numbers of one step, each a mean over the step's examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    /// Names, TRL's where TRL has the metric, and values.
    pub values: Vec<(&'static str, f64)>,
    /// How many examples the means are over.
    pub examples: usize,
}

impl Scalars {
    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values
            .iter()
            .find(|(found, _)| *found == name)
            .map(|&(_, value)| value)
    }
}

impl ItemLazy for Scalars {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<Scalars> for Scalars {
    fn adapt(&self) -> Scalars {
        self.clone()
    }
}

/// One of the numbers as a metric of burn's learner.
#[derive(Clone)]
pub struct Scalar {
    name: &'static str,
    higher_is_better: bool,
    state: NumericMetricState,
}

impl Scalar {
    /// The number of that name.
    pub fn new(name: &'static str, higher_is_better: bool) -> Self {
        Self {
            name,
            higher_is_better,
            state: NumericMetricState::default(),
        }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(Metric::name(self)).precision(4)
    }
}

impl Metric for Scalar {
    type Input = Scalars;

    fn name(&self) -> MetricName {
        Arc::new(self.name.to_string())
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: None,
            higher_is_better: self.higher_is_better,
        }
        .into()
    }

    fn update(
        &mut self,
        item: &Scalars,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        if let Some(value) = item.get(self.name) {
            self.state.update(value, item.examples);
        }
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for Scalar {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
