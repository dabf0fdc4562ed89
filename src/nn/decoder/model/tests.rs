use super::*;
use crate::nn::batch::ids_tensor;
use crate::nn::{LoraConfig, Projection};
use burn::tensor::Tolerance;

fn config() -> DecoderConfig {
    DecoderConfig::small()
}

fn model(device: &Device) -> Decoder {
    device.seed(3);
    config().init(device)
}

/// A plain one, and one with every part.
fn models(device: &Device) -> [Decoder; 2] {
    device.seed(3);
    [config(), DecoderConfig::small_with_all_parts()].map(|config| config.init(device))
}

#[test]
fn cached_steps_give_the_logits_of_one_pass_with_padding_on_the_left() {
    let device = Device::default();
    for model in models(&device) {
        let ids = [vec![0, 0, 5, 6, 7, 8], vec![9, 10, 11, 12, 13, 14]];
        let segments = [vec![0, 0, 1, 1, 1, 1], vec![1; 6]];
        let whole = model.forward(DecoderInput::with_segments(&ids, &segments, &device));

        let mut cache = KvCache::new(vec![2, 0]);
        let all = ids_tensor(&ids, &device);
        let mut last = None;
        for (start, len) in [(0, 4), (4, 1), (5, 1)] {
            let input = DecoderInput::behind(&mut cache, all.clone().narrow(1, start, len));
            last = Some(
                model
                    .hidden_states(input, Some(&mut cache))
                    .narrow(1, len - 1, 1),
            );
        }
        let last = last.expect("three steps were made").reshape([2, 16]);
        let expected: Tensor<2> = whole.narrow(1, 5, 1).reshape([2, 40]);
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        model
            .logits(last)
            .into_data()
            .assert_approx_eq(&expected.into_data(), tolerance);
        assert_eq!(cache.seq_len(), 6);
    }
}

#[test]
fn layers_with_windows_keep_what_they_see_of_long_rows_that_join_grow_and_are_forgotten() {
    const LONG: usize = 300;
    let device = Device::default();
    device.seed(3);
    let config = DecoderConfig::small_with_all_parts().with_sliding_window(7);
    let model = config.init(&device);
    let rows: Vec<Vec<i32>> = [LONG, 170]
        .map(|len| (0..len).map(|place| (place * 7 % 39) as i32 + 1).collect())
        .to_vec();
    let row = |ids: &[i32]| ids_tensor(&[ids.to_vec()], &device);
    let step = |cache: &mut KvCache, ids: Tensor<2, Int>| {
        let input = DecoderInput::behind(cache, ids);
        model.hidden_states(input, Some(cache))
    };
    // The first row goes on token by token, with some that are forgotten again; the second joins it late.
    let mut first = KvCache::new(vec![0]);
    step(&mut first, row(&rows[0][..20]));
    let mut cache = KvCache::new(Vec::new());
    cache.join(&first, &[0]);
    for &id in &rows[0][20..LONG - 5] {
        step(&mut cache, row(&[id, 3, 4]));
        cache.forget(2);
    }
    let mut second = KvCache::new(vec![0]);
    step(&mut second, row(&rows[1][..165]));
    cache.join(&second, &[0]);
    let mut last = None;
    for back in (1..=5).rev() {
        let ids = [0, 1].map(|idx| vec![rows[idx][rows[idx].len() - back]]);
        last = Some(step(&mut cache, ids_tensor(&ids, &device)));
    }
    let last = last.expect("steps were made");
    for (idx, ids) in rows.iter().enumerate() {
        let whole = model.hidden_states(
            DecoderInput::from_ids(std::slice::from_ref(ids), &device),
            None,
        );
        let whole = whole.narrow(1, ids.len() - 1, 1).into_data();
        let last = last.clone().narrow(0, idx, 1).into_data();
        last.assert_approx_eq(&whole, Tolerance::<f32>::absolute(1e-4));
    }
    let columns = cache.stored_columns();
    assert!(columns[1] >= LONG && columns[0] < 250, "{columns:?}");
}

#[test]
fn two_replies_packed_behind_one_prompt_equal_two_sequences() {
    let device = Device::default();
    for model in models(&device) {
        let packed = model.forward(DecoderInput::with_segments(
            &[vec![3, 4, 5, 6, 7, 8, 9]],
            &[vec![1, 1, 1, 2, 2, 3, 3]],
            &device,
        ));
        let apart = model.forward(DecoderInput::from_ids(
            &[vec![3, 4, 5, 6, 7], vec![3, 4, 5, 8, 9]],
            &device,
        ));
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        let first: Tensor<3> = apart.clone().narrow(0, 0, 1);
        let second: Tensor<3> = apart.narrow(0, 1, 1).narrow(1, 3, 2);
        packed
            .clone()
            .narrow(1, 0, 5)
            .into_data()
            .assert_approx_eq(&first.into_data(), tolerance);
        packed
            .narrow(1, 5, 2)
            .into_data()
            .assert_approx_eq(&second.into_data(), tolerance);
    }
}

#[test]
fn the_hidden_states_of_some_tokens_are_those_of_a_whole_pass() {
    let device = Device::default();
    for model in models(&device) {
        let input = DecoderInput::with_segments(
            &[vec![5, 6, 7, 8], vec![9, 10, 11, 0]],
            &[vec![1, 1, 2, 3], vec![1, 1, 1, 0]],
            &device,
        );
        let tokens = Tensor::<1, Int>::from_ints([6, 1, 3], &device);
        let whole: Tensor<2> = model.hidden_states(input.clone(), None).flatten(0, 1);
        let some = model.hidden_states_at(input, None, tokens.clone());
        some.into_data().assert_approx_eq(
            &whole.select(0, tokens).into_data(),
            Tolerance::<f32>::absolute(1e-5),
        );
    }
}

#[test]
fn weights_go_by_the_names_of_the_checkpoint() {
    let mut names = Vec::new();
    model(&Device::default()).weights("", &mut |name, weight| {
        names.push(format!("{name} {:?}", weight.shape()))
    });
    assert_eq!(names.len(), 1 + 2 * 9 + 1);
    assert_eq!(names[0], "model.embed_tokens.weight [40, 16]");
    assert!(
        names.contains(&"model.layers.1.self_attn.k_proj.weight [16, 16]".to_string()),
        "{names:?}"
    );
    assert_eq!(names[19], "model.norm.weight [16]");
}

#[test]
fn every_weight_is_counted_whatever_it_is_stored_in() {
    let device = Device::default();
    for config in [
        config().with_tie_word_embeddings(false),
        DecoderConfig::small_with_all_parts(),
        DecoderConfig {
            qkv_bias: true,
            output_bias: true,
            mlp_bias: true,
            ..config()
        },
    ] {
        let mut model = config.init(&device);
        let mut walked = 0;
        model.weights("", &mut |_, weight| {
            walked += weight.shape().iter().product::<usize>();
        });
        assert_eq!(model.num_weights(), walked);
        model.freeze_weights();
        model.add_lora(&LoraConfig::new(2, 2.0), &device);
        assert_eq!(model.num_weights(), walked);
    }
}

#[test]
fn a_record_of_a_frozen_model_holds_its_factors_and_nothing_else() {
    let device = Device::default();
    let mut model = model(&device);
    model.freeze_weights();
    let lora = LoraConfig::new(2, 2.0).with_target_modules(vec![Projection::Value]);
    model.add_lora(&lora, &device);
    // Two layers of A `[2, 16]` and B `[16, 2]`.
    assert_eq!(model.num_params(), 2 * (2 * 16 + 16 * 2));
    let mut other = model.clone();
    other.add_lora(&lora, &device);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gemma");
    model.clone().save_file(&path).unwrap();
    let loaded = other.clone().load_file(&path);
    let factors = |model: &Decoder| -> Vec<_> {
        let loras = model
            .projections()
            .filter_map(|(_, _, linear)| linear.lora());
        loras.map(|lora| lora.lora_a.val().into_data()).collect()
    };
    assert_ne!(factors(&other), factors(&model));
    assert_eq!(factors(&loaded), factors(&model));
}

#[test]
fn a_record_of_a_trained_model_holds_every_weight() {
    let device = Device::default();
    let model = model(&device);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gemma");
    model.clone().save_file(&path).unwrap();
    let loaded = config().init(&device).load_file(&path);
    let logits = |model: &Decoder| {
        let input = DecoderInput::from_ids(&[vec![5, 6, 7]], &device);
        model.forward(input).into_data()
    };
    assert_eq!(logits(&loaded), logits(&model));
}

#[test]
fn the_display_names_the_parts_and_counts_the_parameters() {
    let display = model(&Device::default()).to_string();
    for part in [
        "Decoder {",
        "embed_tokens",
        "self_attn",
        "down_proj",
        "params: ",
    ] {
        assert!(display.contains(part), "{part} is not in {display}");
    }
}

#[test]
#[should_panic(expected = "num_attention_heads is 4, no multiple of num_key_value_heads, 3")]
fn no_model_is_made_of_a_config_that_fails_its_check() {
    config()
        .with_num_key_value_heads(3)
        .init(&Device::default());
}
