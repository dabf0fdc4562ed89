//! The models on the machine's other devices against the CPU: kernels, fusion, autodiff and all that is plain there.

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData, Tolerance};

use crate::kernels::testing::{PRODUCT_TOLERANCE, gpus};
use crate::nn::layers::nf4::Nf4;
use crate::nn::layers::weight::draw_matrices;
use crate::nn::{
    ClassifierInput, DebertaConfig, Decoder, DecoderConfig, DecoderInput, KvCache, Lengths,
    LoraConfig, Weights,
};

/// The storage format of a decoder's projections.
#[derive(Clone, Copy, Debug)]
enum Form {
    Nf4,
    Dense(DType),
}

/// A Gemma, the same on any device.
fn gemma(form: Form, device: &Device) -> Decoder {
    let cpu = Device::flex();
    let mut gemma = DecoderConfig::gemma_2b()
        .with_vocab_size(50)
        .with_hidden_size(64)
        .with_intermediate_size(128)
        .with_num_hidden_layers(2)
        .with_num_attention_heads(4)
        .with_num_key_value_heads(2)
        .with_head_dim(24)
        .init(&cpu);
    draw_matrices(&mut gemma, 4, 0.17, &cpu);
    gemma.weights("", &mut |name, mut weight| {
        let data = weight.to_data();
        match (form, &weight.shape()[..]) {
            (Form::Nf4, &[rows, columns]) if name.ends_with("_proj.weight") => {
                let values: Vec<f32> = data.iter::<f32>().collect();
                weight.set_nf4(Nf4::from_values(
                    &values,
                    [rows, columns],
                    DType::F32,
                    device,
                ));
            }
            (Form::Nf4, _) => weight.set_frozen(data, DType::F32, device),
            (Form::Dense(dtype), _) => weight.set_frozen(data, dtype, device),
        }
    });
    gemma
}

/// Numbers that look like noise, the same on any device.
fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let n_values: usize = shape.iter().product();
    let value = |idx| (idx as f32 * 12.9898).sin() * 0.2;
    let values: Vec<f32> = (0..n_values).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[test]
fn gradients_of_lora_on_four_bits_are_those_of_the_cpu() {
    let run = |device: &Device| {
        let mut gemma = gemma(Form::Nf4, device);
        gemma.add_lora(&LoraConfig::new(4, 8.0), &device.clone().autodiff());
        for (_, _, linear) in gemma.projections_mut() {
            if let Some(lora) = linear.lora_mut() {
                for factor in [&mut lora.lora_a, &mut lora.lora_b] {
                    let values = noise(factor.dims(), device);
                    *factor = factor.clone().map(|_| values.autodiff().require_grad());
                }
            }
        }
        let input = DecoderInput::with_segments(
            &[vec![5, 6, 7, 8, 9, 10], vec![11, 12, 13, 14, 0, 0]],
            &[vec![1, 1, 1, 2, 2, 3], vec![1, 1, 2, 3, 0, 0]],
            device,
        );
        let tokens = Tensor::<1, Int>::from_ints([2, 3, 4, 7, 8], device);
        let targets = Tensor::<1, Int>::from_ints([8, 9, 10, 13, 14], device);
        let hidden = gemma.hidden_states_at(input, None, tokens);
        let logps = gemma.token_logps(hidden, targets);
        let grads = logps.clone().mean().backward();
        let mut found = vec![logps.without_autodiff().into_data()];
        for (layer_idx, projection, linear) in gemma.projections() {
            let lora = linear.lora().expect("every projection has factors");
            for factor in [&lora.lora_a, &lora.lora_b] {
                let gradient = factor.val().grad(&grads);
                let place = (layer_idx, projection);
                found.push(gradient.unwrap_or_else(|| panic!("{place:?}")).into_data());
            }
        }
        found
    };
    let expected = run(&Device::flex());
    let tolerance =
        Tolerance::<f32>::absolute(PRODUCT_TOLERANCE).set_relative(100.0 * PRODUCT_TOLERANCE);
    for device in gpus() {
        let found = run(&device);
        assert_eq!(found.len(), 1 + 2 * 7 * 2);
        for (found, expected) in found.iter().zip(&expected) {
            found.assert_approx_eq(expected, tolerance);
        }
    }
}

/// The logits after two prompts of some length, one of them shorter, and after a few more tokens, in f32.
fn steps(form: Form, prompt: usize, device: &Device) -> Vec<TensorData> {
    let gemma = gemma(form, device);
    let mut cache = KvCache::new(vec![3, 0]).with_lengths(Lengths::on(device));
    let ids = |from: usize, seq: usize| {
        let ids: Vec<i32> = (from..).take(2 * seq).map(|id| id as i32 % 50).collect();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [2, seq]), device)
    };
    [(1, prompt), (20, 1), (30, 1), (40, 1)]
        .into_iter()
        .map(|(from, seq)| {
            // The other clone of the cache does not change.
            let mut other = cache.clone();
            let logits = |cache: &mut KvCache| {
                let input = DecoderInput::behind(cache, ids(from, seq));
                let hidden = gemma.hidden_states(input, Some(cache));
                let last: Tensor<2> = hidden.narrow(1, seq - 1, 1).reshape([2, 64]);
                gemma.logits(last).cast(DType::F32).into_data()
            };
            let found = logits(&mut cache);
            found.assert_approx_eq(&logits(&mut other), Tolerance::<f32>::absolute(1e-6));
            found
        })
        .collect()
}

#[test]
fn cached_steps_give_the_logits_of_the_cpu() {
    for (form, prompt, tolerance) in [
        (Form::Nf4, 8, PRODUCT_TOLERANCE),
        (Form::Dense(DType::F32), 8, PRODUCT_TOLERANCE),
        (Form::Dense(DType::F32), 300, PRODUCT_TOLERANCE),
        (Form::Dense(DType::BF16), 300, 0.02),
    ] {
        let on_cpu = match form {
            Form::Nf4 => form,
            Form::Dense(_) => Form::Dense(DType::F32),
        };
        let expected = steps(on_cpu, prompt, &Device::flex());
        for device in gpus() {
            if matches!(form, Form::Dense(dtype) if !device.supports_dtype(dtype)) {
                continue;
            }
            for (found, expected) in steps(form, prompt, &device).iter().zip(&expected) {
                found.assert_approx_eq(expected, Tolerance::<f32>::absolute(tolerance));
            }
        }
    }
}

#[test]
fn a_deberta_gives_the_logits_of_the_cpu() {
    let cpu = Device::flex();
    let mut model = DebertaConfig::deberta_v3_base()
        .with_vocab_size(50)
        .with_hidden_size(32)
        .with_intermediate_size(64)
        .with_num_hidden_layers(2)
        .with_num_attention_heads(2)
        .with_num_labels(3)
        .init(&cpu);
    draw_matrices(&mut model, 4, 0.03, &cpu);
    let logits = |device: &Device| {
        let input = ClassifierInput::new(&[vec![5, 6, 7, 2], vec![5, 8, 9, 10, 2]], 0, device);
        let model = model.clone().to_device(device);
        model.forward(input).into_data()
    };
    for device in gpus() {
        let tolerance = Tolerance::<f32>::absolute(PRODUCT_TOLERANCE);
        logits(&device).assert_approx_eq(&logits(&cpu), tolerance);
    }
}
