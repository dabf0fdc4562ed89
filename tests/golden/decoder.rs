use apc::files::{self, Checkpoint, Precision};
use apc::nn::{Decoder, DecoderInput, KvCache, position_ids};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Int, Tensor, TensorData, activation};

use super::adapter::{LAYERS, adapted, base, factor_gradients, factor_values, load};
use super::{Golden, TOLERANCE, assert_close, device, folder, largest, values};

const FIXTURES: [&str; 13] = [
    "gemma-mqa",
    "gemma-gqa",
    "gemma-mha",
    "gemma2",
    "gemma3",
    "gemma3-multimodal",
    "gemma4",
    "gemma4-e2b",
    "llama",
    "llama-untied",
    "mistral",
    "qwen2",
    "qwen3",
];
/// Those that there are logits in four bits of.
const IN_NF4: [&str; 8] = [
    "gemma2",
    "gemma3",
    "gemma4",
    "gemma4-e2b",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
];

/// The fixture's golden values and its left-padded batch.
fn fixture(name: &str) -> (Golden, DecoderInput) {
    let golden = Golden::open(name, "golden.safetensors");
    let (ids, segments) = (golden.rows("input_ids"), golden.rows("attention_mask"));
    let input = DecoderInput::with_segments(&ids, &segments, &device());
    (golden, input)
}

/// What stands in front of the layers in PEFT's names of a fixture's factors.
fn layers(name: &str) -> &'static str {
    match name {
        "gemma3-multimodal" => "base_model.model.model.language_model.",
        _ => LAYERS,
    }
}

/// Compares logits where a token is no padding.
fn assert_logits(golden: &Golden, key: &str, logits: Tensor<3>) {
    let [_, _, vocab_size] = logits.dims();
    let real = golden.values("attention_mask");
    let pick = |logits: &[f64]| -> Vec<f64> {
        let rows = logits.chunks(vocab_size).zip(real);
        rows.filter(|&(_, &real)| real == 1.0)
            .flat_map(|(row, _)| row.to_vec())
            .collect()
    };
    let got = pick(&values(logits.into_data()));
    let what = format!("{} {key}", golden.file.display());
    let expected = pick(golden.values(key));
    let tolerance = TOLERANCE * largest(&expected).max(1.0);
    assert_close(&what, &got, &expected, tolerance);
}

/// Mean cross-entropy of each real token that follows a real token.
fn next_token_loss(logits: Tensor<3>, ids: &[Vec<i32>], mask: &[Vec<i32>]) -> Tensor<1> {
    let [batch, seq, _] = logits.dims();
    let tensor = |rows: &[Vec<i32>]| {
        Tensor::<2, Int>::from_data(TensorData::new(rows.concat(), [batch, seq]), &device())
    };
    let next = |rows: Tensor<2, Int>| rows.narrow(1, 1, seq - 1);
    let real = tensor(mask);
    let real = (real.clone().narrow(1, 0, seq - 1) * next(real)).float();
    let log_probs = activation::log_softmax(logits.narrow(1, 0, seq - 1), 2)
        .gather(2, next(tensor(ids)).unsqueeze_dim(2))
        .reshape([batch, seq - 1]);
    -(log_probs * real.clone()).sum() / real.sum()
}

/// The most likely next tokens of row 0, each step behind the cache of those before.
fn greedy(model: &Decoder, ids: &[Vec<i32>], mask: &[Vec<i32>], count: usize) -> Vec<i32> {
    let (batch, device) = (ids.len(), device());
    let tensor = |rows: &[Vec<i32>]| {
        Tensor::<2, Int>::from_data(
            TensorData::new(rows.concat(), [batch, rows[0].len()]),
            &device,
        )
    };
    let padding = |row: &Vec<i32>| row.iter().filter(|&&real| real == 0).count();
    let mut cache = KvCache::new(mask.iter().map(padding).collect());
    let mut ids = tensor(ids);
    let mut tokens = Vec::new();
    for _ in 0..count {
        let input = DecoderInput::behind(&mut cache, ids);
        let hidden = model.hidden_states(input, Some(&mut cache));
        let [_, seq, hidden_size] = hidden.dims();
        let last = hidden.narrow(1, seq - 1, 1).reshape([batch, hidden_size]);
        ids = model.logits(last).argmax(1); // [batch, 1]
        tokens.push(values(ids.clone().into_data())[0] as i32);
    }
    tokens
}

#[test]
fn an_adapter_with_ranks_and_alphas_by_module_gives_the_logits_of_peft() {
    let (golden, input) = fixture("gemma-mha");
    let mut model = base("gemma-mha");
    load(&mut model, &folder("gemma-mha").join("adapter-patterns"));
    assert_logits(&golden, "patterns_logits", model.forward(input));
}

#[test]
fn positions_skip_the_padding_as_in_transformers() {
    let golden = Golden::open("gemma-mqa", "golden.safetensors");
    let mask = golden.rows("attention_mask");
    let positions = values(position_ids(&mask, &device()).into_data());
    assert_eq!(positions, golden.values("position_ids"));
}

#[test]
fn the_logits_of_a_left_padded_batch_are_those_of_transformers() {
    for name in FIXTURES {
        let (golden, input) = fixture(name);
        assert_logits(&golden, "logits", base(name).forward(input));
    }
}

#[test]
fn keys_of_layers_that_share_them_and_parts_for_images_are_passed_over() {
    let (golden, input) = fixture("gemma4-e2b-keys");
    let model = base("gemma4-e2b-keys");
    assert_logits(&golden, "logits", model.forward(input));
}

#[test]
fn the_logits_in_four_bits_are_those_of_transformers_with_bitsandbytes() {
    for name in IN_NF4 {
        let (golden, input) = fixture(name);
        let nf4 = Golden::open(name, "nf4/nf4.safetensors");
        let precision = Precision::default().in_nf4();
        let model = files::load_decoder(&Checkpoint::folder(folder(name)), precision, &device());
        let logits = values(model.expect("the fixture loads").forward(input).into_data());
        let expected = nf4.values("logits");
        let real = golden.values("attention_mask");
        let vocab_size = expected.len() / real.len();
        for (row, real) in real.iter().enumerate() {
            let place = row * vocab_size..(row + 1) * vocab_size;
            if *real == 1.0 {
                let (got, expected) = (&logits[place.clone()], &expected[place]);
                assert_close(&format!("{name} {row}"), got, expected, 1e-4);
            }
        }
    }
}

#[test]
fn the_logits_with_an_adapter_are_those_of_peft_and_without_it_those_of_the_base() {
    for name in FIXTURES {
        let (golden, input) = fixture(name);
        let model = adapted(name);
        assert_logits(&golden, "adapter_logits", model.forward(input.clone()));
        assert_logits(
            &golden,
            "adapter_logits",
            model.valid().forward(input.clone()),
        );
        let bare = model.without_lora().forward(input.clone()).into_data();
        bare.assert_eq(&base(name).forward(input).into_data(), true);
    }
}

#[test]
fn the_loss_and_the_gradients_of_the_factors_are_those_of_peft() {
    for name in FIXTURES {
        let (golden, input) = fixture(name);
        let (ids, mask) = (golden.rows("input_ids"), golden.rows("attention_mask"));
        let model = adapted(name);
        let loss = next_token_loss(model.forward(input), &ids, &mask);
        golden.assert("loss", &values(loss.clone().into_data()), TOLERANCE);

        let gradients = factor_gradients(&model, layers(name), &loss.backward());
        assert_eq!(gradients.len(), golden.names("grad.").count());
        for (factor, gradient) in gradients {
            golden.assert_gradient(&format!("grad.{factor}"), &gradient);
        }
    }
}

#[test]
fn one_step_of_adamw_moves_every_factor_as_in_torch_and_no_weight() {
    for name in FIXTURES {
        let (golden, input) = fixture(name);
        let (ids, mask) = (golden.rows("input_ids"), golden.rows("attention_mask"));
        let model = adapted(name);
        let loss = next_token_loss(model.forward(input.clone()), &ids, &mask);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(
            gradients.len(),
            golden.names("grad.").count(),
            "only the factors are trained"
        );
        let mut optimizer = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(0.01)
            .init();
        let model = optimizer.step(1e-2, model, gradients);

        let factors = factor_values(&model, layers(name));
        assert_eq!(factors.len(), golden.names("adamw.").count());
        for (factor, value) in factors {
            golden.assert_step(&factor, &value);
        }
        assert_logits(&golden, "logits", model.without_lora().forward(input));
    }
}

#[test]
fn greedy_decoding_behind_a_cache_gives_the_tokens_of_transformers() {
    for name in FIXTURES {
        let golden = Golden::open(name, "golden.safetensors");
        let (ids, mask) = (golden.rows("input_ids"), golden.rows("attention_mask"));
        let start = mask[0].iter().position(|&real| real == 1).unwrap();
        let alone = (
            vec![ids[0][start..].to_vec()],
            vec![mask[0][start..].to_vec()],
        );
        for (key, model) in [
            ("greedy_ids", base(name)),
            ("adapter_greedy_ids", adapted(name).valid()),
        ] {
            let expected = golden.rows(key).concat();
            let count = expected.len();
            assert_eq!(
                greedy(&model, &alone.0, &alone.1, count),
                expected,
                "{name} {key}"
            );
            let batched = greedy(&model, &ids, &mask, count);
            assert_eq!(batched, expected, "{name} {key}, in a left-padded batch");
        }
    }
}
