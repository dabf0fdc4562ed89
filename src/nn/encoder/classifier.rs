//! A sequence classifier of either architecture.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::nn::decoder::lengths::Lengths;
use crate::nn::encoder::deberta::{ClassifierInput, Deberta, DebertaConfig};
use crate::nn::encoder::roberta::{Roberta, RobertaConfig};
use crate::nn::layers::dropout::Dropout;
use crate::nn::layers::weight::{WeightMut, Weights};

/// The shape of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceClassifierConfig {
    /// DeBERTa-v2 and v3.
    Deberta(DebertaConfig),
    /// RoBERTa and XLM-RoBERTa.
    Roberta(RobertaConfig),
}

impl SequenceClassifierConfig {
    /// A classifier whose weights are drawn at random when they are first used.
    pub fn init(&self, device: &Device) -> SequenceClassifier {
        match self {
            Self::Deberta(config) => SequenceClassifier::Deberta(config.init(device)),
            Self::Roberta(config) => SequenceClassifier::Roberta(config.init(device)),
        }
    }

    /// The same shape with another number of classes.
    pub fn with_num_labels(mut self, num_labels: usize) -> Self {
        match &mut self {
            Self::Deberta(config) => config.num_labels = num_labels,
            Self::Roberta(config) => config.num_labels = num_labels,
        }
        self
    }
}

/// A classifier of a text.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a handful of classifiers at a time"
)]
pub enum SequenceClassifier {
    /// DeBERTa-v2 and v3.
    Deberta(Deberta),
    /// RoBERTa and XLM-RoBERTa.
    Roberta(Roberta),
}

impl SequenceClassifier {
    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        match self {
            Self::Deberta(model) => model.device(),
            Self::Roberta(model) => model.device(),
        }
    }

    /// Puts a fresh classifier of `num_labels` classes in place of the old one.
    pub fn reset_classifier(&mut self, num_labels: usize, device: &Device) {
        match self {
            Self::Deberta(model) => model.reset_classifier(num_labels, device),
            Self::Roberta(model) => model.reset_classifier(num_labels, device),
        }
    }

    /// Keeps the layers' weights in the order in which a CPU multiplies with them, if they are frozen f32 there: for a
    /// classifier of many batches.
    pub fn keep_in_panels(&mut self) {
        match self {
            Self::Deberta(model) => model.keep_in_panels(),
            Self::Roberta(model) => model.keep_in_panels(),
        }
    }

    /// Texts of any length, padded to one that suits the longest of them.
    pub fn input(
        &self,
        texts: &[Vec<i32>],
        pad_token_id: i32,
        lengths: Lengths,
    ) -> ClassifierInput {
        let seq = texts.iter().map(Vec::len).max().unwrap_or(0);
        let most = match self {
            Self::Deberta(model) => model.longest().unwrap_or(usize::MAX),
            Self::Roberta(model) => model.longest(),
        };
        let seq = lengths.round(seq).min(most.max(seq));
        ClassifierInput::padded(texts, pad_token_id, seq, &self.device())
    }

    /// The logits of each text's class.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, n_labels]`
    pub fn forward(&self, input: ClassifierInput) -> Tensor<2> {
        match self {
            Self::Deberta(model) => model.forward(input),
            Self::Roberta(model) => model.forward(input),
        }
    }

    /// The last hidden states.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden_size]`
    pub fn hidden_states(&self, input: ClassifierInput) -> Tensor<3> {
        match self {
            Self::Deberta(model) => model.hidden_states(input),
            Self::Roberta(model) => model.hidden_states(input),
        }
    }

    /// The logits from the last hidden states.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, n_labels]`
    pub fn classify(&self, hidden: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<2> {
        match self {
            Self::Deberta(model) => model.classify(hidden, dropout),
            Self::Roberta(model) => model.classify(hidden, dropout),
        }
    }
}

impl Weights for SequenceClassifier {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        match self {
            Self::Deberta(model) => model.weights(prefix, visit),
            Self::Roberta(model) => model.weights(prefix, visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Weight;
    use burn::tensor::Tolerance;

    #[test]
    fn padding_to_a_rounded_length_changes_no_logit_and_stays_within_the_position_table() {
        let device = Device::default();
        let sizes = (20, 8, 16, 2, 2, 3);
        let (vocab, hidden, inner, layers, heads, labels) = sizes;
        let deberta = DebertaConfig::new(vocab, hidden, inner, layers, heads, labels);
        let roberta = RobertaConfig::new(vocab, hidden, inner, layers, heads, labels);
        let roberta = roberta.with_max_position_embeddings(12);
        for (config, padded) in [
            (SequenceClassifierConfig::Deberta(deberta.clone()), 32),
            (
                SequenceClassifierConfig::Deberta(deberta.with_position_biased_input(true)),
                32,
            ),
            (SequenceClassifierConfig::Roberta(roberta), 10),
        ] {
            let model = config.init(&device);
            let texts = [vec![5, 6, 7, 2], vec![5, 8, 9, 10, 11, 12, 2]];
            let logits = |lengths, seq| {
                let input = model.input(&texts, 1, lengths);
                assert_eq!(input.input_ids.dims(), [2, seq]);
                model.forward(input).into_data()
            };
            logits(Lengths::Bucketed, padded).assert_approx_eq(
                &logits(Lengths::Exact, 7),
                Tolerance::<f32>::absolute(1e-6).set_relative(1e-4),
            );
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn weights_in_panels_and_words_that_are_projected_once_change_no_logit() {
        let device = Device::flex();
        device.seed(3);
        let (vocab, hidden, inner, layers, heads, labels) = (20, 24, 70, 3, 2, 3);
        let deberta = DebertaConfig::new(vocab, hidden, inner, layers, heads, labels);
        let deberta = deberta.with_initializer_range(0.3);
        let roberta = RobertaConfig::new(vocab, hidden, inner, layers, heads, labels);
        let roberta = roberta.with_initializer_range(0.3);
        for config in [
            SequenceClassifierConfig::Deberta(deberta),
            SequenceClassifierConfig::Roberta(roberta),
        ] {
            let mut model = config.init(&device);
            model.weights("", &mut |_, weight| match weight {
                WeightMut::Vector(weight) => weight.freeze(),
                WeightMut::Matrix(weight) => weight.freeze(),
            });
            // Padding is an id that a text has, too.
            let texts = [vec![5, 6, 5, 0, 7], vec![5, 8, 9, 6, 6, 12, 2], vec![2]];
            let input = || model.input(&texts, 0, Lengths::Exact);
            // Of what may be dropped, nothing takes a shorter way.
            let nothing = Dropout::new(|count, _| vec![1.0; count]);
            let step_by_step = model.hidden_states(input().with_dropout(Some(nothing)));
            let expected = model.classify(step_by_step, None).into_data();
            let tolerance = Tolerance::<f32>::absolute(1e-5).set_relative(1e-4);
            let got = model.forward(input()).into_data();
            got.assert_approx_eq(&expected, tolerance);
            let mut in_panels = model.clone();
            in_panels.keep_in_panels();
            let got = in_panels.forward(input()).into_data();
            got.assert_approx_eq(&expected, tolerance);
            let all = in_panels.hidden_states(input());
            let got = in_panels.classify(all, None).into_data();
            got.assert_approx_eq(&expected, tolerance);
            let mut names = Vec::new();
            in_panels.weights("", &mut |name, weight| {
                if let WeightMut::Matrix(Weight::Panels(_)) = weight {
                    names.push(name.to_string());
                }
            });
            assert!(names.len() >= 6 * layers - 2, "{names:?}");
        }
    }
}
