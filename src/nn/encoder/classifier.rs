//! A sequence classifier of either architecture.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::nn::batch::Lengths;
use crate::nn::config::InvalidConfig;
use crate::nn::encoder::deberta::Deberta;
use crate::nn::encoder::deberta_config::DebertaConfig;
use crate::nn::encoder::input::ClassifierInput;
use crate::nn::encoder::roberta::{Roberta, RobertaConfig};
use crate::nn::layers::dropout::Dropout;
use crate::nn::layers::weight::{WeightMut, Weights};

/// The shape of a classifier of either architecture.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceClassifierConfig {
    /// DeBERTa-v2 and v3.
    Deberta(DebertaConfig),
    /// BERT, RoBERTa and XLM-RoBERTa.
    Roberta(RobertaConfig),
}

impl SequenceClassifierConfig {
    /// Makes a classifier; its weights are drawn at random on first use.
    ///
    /// # Panics
    ///
    /// Panics if the shape does not pass [`SequenceClassifierConfig::check`].
    pub fn init(&self, device: &Device) -> SequenceClassifier {
        match self {
            Self::Deberta(config) => SequenceClassifier::Deberta(config.init(device)),
            Self::Roberta(config) => SequenceClassifier::Roberta(config.init(device)),
        }
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    ///
    /// Fails with the field that is wrong.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        match self {
            Self::Deberta(config) => config.check(),
            Self::Roberta(config) => config.check(),
        }
    }

    /// Returns how many token ids the classifier has.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Deberta(config) => config.vocab_size,
            Self::Roberta(config) => config.vocab_size,
        }
    }

    /// Returns how many layers the encoder has.
    pub fn num_hidden_layers(&self) -> usize {
        match self {
            Self::Deberta(config) => config.num_hidden_layers,
            Self::Roberta(config) => config.num_hidden_layers,
        }
    }

    /// Returns the same shape with another number of classes.
    pub fn with_num_labels(mut self, num_labels: usize) -> Self {
        match &mut self {
            Self::Deberta(config) => config.num_labels = num_labels,
            Self::Roberta(config) => config.num_labels = num_labels,
        }
        self
    }
}

/// A classifier of texts, of either architecture.
///
/// # Examples
///
/// ```
/// use apc::nn::{ClassifierInput, DebertaConfig, SequenceClassifierConfig};
/// use burn::tensor::{Device, activation};
///
/// let device = Device::default();
/// let config = DebertaConfig::deberta_v3_base()
///     .with_vocab_size(64)
///     .with_hidden_size(32)
///     .with_intermediate_size(64)
///     .with_num_attention_heads(2)
///     .with_num_hidden_layers(1)
///     .with_num_labels(3);
/// let judge = SequenceClassifierConfig::Deberta(config).init(&device);
/// let texts = [vec![1, 5, 6, 2], vec![1, 7, 2]];
/// let logits = judge.forward(ClassifierInput::new(&texts, 0, &device));
/// let probabilities = activation::softmax(logits, 1);
/// assert_eq!(probabilities.dims(), [2, 3]); // [batch, n_labels]
/// ```
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a handful of classifiers at a time"
)]
pub enum SequenceClassifier {
    /// DeBERTa-v2 and v3.
    Deberta(Deberta),
    /// BERT, RoBERTa and XLM-RoBERTa.
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

    /// Stores the layers' weights in the order in which a CPU multiplies many rows with them.
    ///
    /// Call it once on a classifier that reads many batches on the CPU; not before training. It takes about as long as
    /// reading the weights once and needs no more memory afterwards. Weights that are not dense f32 constants on the CPU
    /// stay as they are.
    pub fn keep_in_panels(&mut self) {
        match self {
            Self::Deberta(model) => model.keep_in_panels(),
            Self::Roberta(model) => model.keep_in_panels(),
        }
    }

    /// Pads texts on the right to the length of the longest, rounded up by `lengths` within what the model reads.
    ///
    /// # Shapes
    ///
    /// - texts: `batch` of up to `seq` token ids
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
    use burn::tensor::Tolerance;

    fn configs([hidden, inner, layers]: [usize; 3]) -> (DebertaConfig, RobertaConfig) {
        let deberta = DebertaConfig::deberta_v3_base()
            .with_vocab_size(20)
            .with_hidden_size(hidden)
            .with_intermediate_size(inner)
            .with_num_hidden_layers(layers)
            .with_num_attention_heads(2)
            .with_num_labels(3);
        let roberta = RobertaConfig::xlm_roberta_base()
            .with_vocab_size(20)
            .with_hidden_size(hidden)
            .with_intermediate_size(inner)
            .with_num_hidden_layers(layers)
            .with_num_attention_heads(2)
            .with_num_labels(3);
        (deberta, roberta)
    }

    #[test]
    fn the_display_names_the_parts_and_a_record_of_a_trained_classifier_holds_every_weight() {
        let device = Device::default();
        let (deberta, roberta) = configs([8, 16, 2]);
        let folder = tempfile::tempdir().unwrap();
        for (name, config) in [
            ("Deberta", SequenceClassifierConfig::Deberta(deberta)),
            ("Roberta", SequenceClassifierConfig::Roberta(roberta)),
        ] {
            let mut model = config.init(&device);
            let display = model.to_string();
            assert!(
                display.contains(name) && display.contains("params: "),
                "{display}"
            );
            let logits = |model: &SequenceClassifier| {
                let input = ClassifierInput::new(&[vec![5, 6, 7]], 0, &device);
                model.forward(input).into_data()
            };
            let path = folder.path().join(name);
            model.clone().save_file(&path).unwrap();
            let loaded = config.init(&device).load_file(&path);
            assert_eq!(logits(&loaded), logits(&model));
            model.freeze_weights();
            assert_eq!(model.num_params(), 0, "frozen weights are no parameters");
        }
    }

    #[test]
    fn padding_to_a_rounded_length_changes_no_logit_and_stays_within_the_position_table() {
        let device = Device::default();
        let (deberta, roberta) = configs([8, 16, 2]);
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
        let layers = 3;
        let (deberta, roberta) = configs([24, 70, layers]);
        let deberta = deberta.with_initializer_range(0.3);
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
                if let WeightMut::Matrix(weight) = weight
                    && weight.as_panels().is_some()
                {
                    names.push(name.to_string());
                }
            });
            assert!(names.len() >= 6 * layers - 2, "{names:?}");
        }
    }
}
