use apc::files::{self, Checkpoint, Precision};
use apc::nn::{ClassifierInput, Dropout, Pooling, SequenceClassifier, WeightMut, Weights};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Gradients, Int, Tensor, TensorData, activation};
use safetensors::SafeTensors;

use super::{Golden, TOLERANCE, device, folder, values};

const FIXTURES: [&str; 6] = [
    "deberta-v3-2",
    "deberta-v3-3",
    "deberta-v2",
    "xlm-roberta",
    "roberta",
    "bert",
];

fn load(name: &str) -> (Golden, SequenceClassifier) {
    let (model, _) = files::load_classifier(
        &Checkpoint::folder(folder(name)),
        Precision::default(),
        &device(),
    )
    .expect("the fixture loads");
    (Golden::open(name, "golden.safetensors"), model)
}

/// The batch's texts without their padding.
fn texts(golden: &Golden) -> Vec<Vec<i32>> {
    let masks = golden.rows("attention_mask");
    let rows = golden.rows("input_ids").into_iter().zip(masks);
    rows.map(|(ids, mask)| ids[..mask.iter().sum::<i32>() as usize].to_vec())
        .collect()
}

fn input(texts: &[Vec<i32>]) -> ClassifierInput {
    ClassifierInput::new(texts, 0, &device())
}

/// Mean cross-entropy of the batch's labels; of a single logit the mean square.
fn loss(model: &SequenceClassifier, golden: &Golden) -> Tensor<1> {
    let logits = model.forward(input(&texts(golden)));
    if logits.dims()[1] == 1 {
        return logits.square().mean();
    }
    let labels = golden.rows("labels").concat();
    let count = labels.len();
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [count, 1]), &device());
    -activation::log_softmax(logits, 1).gather(1, labels).mean()
}

fn gradient(weight: WeightMut<'_>, gradients: &Gradients) -> Option<TensorData> {
    match weight {
        WeightMut::Vector(weight) => weight.val().grad(gradients).map(Tensor::into_data),
        WeightMut::Matrix(weight) => weight.val().grad(gradients).map(Tensor::into_data),
    }
}

#[test]
fn labels_come_from_the_config_in_the_order_of_the_logits() {
    let config =
        files::read_classifier_config(&Checkpoint::folder(folder("deberta-v3-3"))).unwrap();
    assert_eq!(config.labels, ["contradicted", "neutral", "entailed"]);
}

#[test]
fn the_logits_of_a_padded_batch_are_those_of_transformers() {
    for name in FIXTURES {
        let (golden, model) = load(name);
        let logits = model.forward(input(&texts(&golden)));
        golden.assert("logits", &values(logits.into_data()), TOLERANCE);
    }
}

#[test]
fn the_token_of_padding_in_a_text_is_read_as_by_transformers() {
    for name in ["xlm-roberta", "roberta", "bert"] {
        let (golden, model) = load(name);
        let rows = golden.rows("spelt_ids").into_iter();
        let texts: Vec<Vec<i32>> = rows
            .zip(texts(&golden))
            .map(|(spelt, text)| spelt[..text.len()].to_vec())
            .collect();
        let logits = model.forward(input(&texts));
        golden.assert("spelt_logits", &values(logits.into_data()), TOLERANCE);
    }
}

#[test]
fn the_logits_of_pairs_with_token_types_are_those_of_transformers() {
    for name in ["deberta-v2", "bert"] {
        let (golden, model) = load(name);
        let texts = texts(&golden);
        let n_first: Vec<usize> = texts.iter().map(|text| text.len() / 2).collect();
        let logits = model.forward(input(&texts).with_token_types(&n_first));
        golden.assert("segment_logits", &values(logits.into_data()), TOLERANCE);
    }
    // Where a model has no types, they change nothing.
    for name in ["deberta-v3-3", "xlm-roberta", "roberta"] {
        let (golden, model) = load(name);
        let texts = texts(&golden);
        let logits = model.forward(input(&texts).with_token_types(&vec![3; texts.len()]));
        golden.assert("logits", &values(logits.into_data()), TOLERANCE);
    }
}

#[test]
fn embeddings_are_those_of_sentence_transformers_also_of_a_model_that_was_saved_alone() {
    let there = tempfile::tempdir().unwrap();
    let golden = Golden::open("bert", "golden.safetensors");
    let bytes = std::fs::read(folder("bert").join("model.safetensors")).unwrap();
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let alone = found.tensors().into_iter();
    let alone =
        alone.filter_map(|(name, view)| Some((name.strip_prefix("bert.")?.to_string(), view)));
    let bytes = safetensors::serialize(alone, None).unwrap();
    std::fs::write(there.path().join("model.safetensors"), bytes).unwrap();
    let config = folder("bert").join("config.json");
    std::fs::copy(config, there.path().join("config.json")).unwrap();
    for folder in [folder("bert"), there.path().to_path_buf()] {
        let checkpoint = Checkpoint::folder(folder);
        let encoder = files::load_encoder(&checkpoint, Precision::default(), &device());
        let (encoder, _) = encoder.expect("the fixture loads");
        for (name, pooling) in [
            ("mean_embeddings", Pooling::Mean),
            ("cls_embeddings", Pooling::Cls),
        ] {
            let input = input(&texts(&golden));
            let padding = input.padding.clone();
            let embeddings = pooling.embed(encoder.hidden_states(input), padding);
            golden.assert(name, &values(embeddings.into_data()), TOLERANCE);
        }
    }
}

#[test]
fn a_checkpoint_of_pytorch_is_read_where_there_is_no_other() {
    let there = tempfile::tempdir().unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        std::fs::copy(folder("deberta-v3-2").join(name), there.path().join(name)).unwrap();
    }
    let (model, _) = files::load_classifier(
        &Checkpoint::folder(there.path()),
        Precision::default(),
        &device(),
    )
    .unwrap();
    let golden = Golden::open("deberta-v3-2", "golden.safetensors");
    let logits = model.forward(input(&texts(&golden)));
    golden.assert("logits", &values(logits.into_data()), TOLERANCE);
}

#[test]
fn values_are_dropped_where_transformers_drops_them_and_as_often() {
    for name in FIXTURES {
        let (golden, model) = load(name);
        // As the fixture's: every value is made smaller by its rate.
        let shrinking = Dropout::new(|count, rate| vec![1.0 - rate as f32; count]);
        let logits = model.forward(input(&texts(&golden)).with_dropout(Some(shrinking)));
        golden.assert("dropped_logits", &values(logits.into_data()), TOLERANCE);
    }
}

#[test]
fn the_logits_of_a_text_do_not_depend_on_its_batch() {
    for name in FIXTURES {
        let (golden, model) = load(name);
        let alone = texts(&golden)
            .into_iter()
            .flat_map(|text| values(model.forward(input(&[text])).into_data()));
        let alone: Vec<_> = alone.collect();
        golden.assert("logits", &alone, TOLERANCE);
    }
}

#[test]
fn the_loss_and_the_gradients_of_unfrozen_weights_are_those_of_transformers() {
    for name in FIXTURES {
        let (golden, mut model) = load(name);
        model.unfreeze_weights();
        let loss = loss(&model, &golden);
        golden.assert("loss", &values(loss.clone().into_data()), TOLERANCE);

        let gradients = loss.backward();
        let watched: Vec<_> = golden.names("grad.").collect();
        let mut compared = 0;
        model.weights("", &mut |weight_name, weight| {
            let got = gradient(weight, &gradients);
            let got = got.unwrap_or_else(|| panic!("{name} {weight_name} has no gradient"));
            if watched.contains(&weight_name) {
                golden.assert_gradient(&format!("grad.{weight_name}"), &values(got));
                compared += 1;
            }
        });
        assert_eq!(compared, watched.len());
    }
}

#[test]
fn one_step_of_adamw_moves_unfrozen_weights_as_in_torch() {
    for name in FIXTURES {
        let (golden, mut model) = load(name);
        model.unfreeze_weights();
        let gradients = GradientsParams::from_grads(loss(&model, &golden).backward(), &model);
        let mut optimizer = AdamWConfig::new()
            .with_epsilon(1e-6)
            .with_weight_decay(0.01)
            .init();
        let mut model = optimizer.step(1e-3, model, gradients);

        let watched: Vec<_> = golden.names("adamw.").collect();
        let mut compared = 0;
        model.weights("", &mut |weight_name, weight| {
            if watched.contains(&weight_name) {
                golden.assert_step(weight_name, &values(weight.to_data()));
                compared += 1;
            }
        });
        assert_eq!(compared, watched.len());
    }
}
