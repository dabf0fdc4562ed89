//! Numbers of a step as burn's metrics.

use std::sync::Arc;

use burn::tensor::{ExecutionError, Tensor, TensorReadError};
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
    /// The values of tensors of one number each, which leave their device together.
    pub(super) fn read(values: Vec<(&'static str, Tensor<1>)>, examples: usize) -> Self {
        let (names, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        Self {
            values: names.into_iter().zip(numbers(values)).collect(),
            examples,
        }
    }

    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values
            .iter()
            .find(|(found, _)| *found == name)
            .map(|&(_, value)| value)
    }
}

/// The values of tensors of one number each, which leave their device together.
pub(super) fn numbers(tensors: Vec<Tensor<1>>) -> Vec<f64> {
    if tensors.is_empty() {
        return Vec::new();
    }
    let tensors = tensors.into_iter().map(|tensor| tensor.without_autodiff());
    Tensor::cat(tensors.collect(), 0)
        .into_data()
        .iter()
        .collect()
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
