#!/usr/bin/env python3
"""Writes tests/golden/engine: tiny models with random weights of every architecture, as Hugging Face folders
(config.json, model.safetensors), each with expected.safetensors: tokens and the logits of every position.

    pip install torch==2.13.0 transformers==5.24.0 safetensors numpy      # a CPU build of torch will do
    python3 tools/make_model_fixtures.py tests/golden/engine

Expected logits come from transformers in float32. DeepSeek's are also computed by tools/reference_deepseek.py, which
must agree; where it alone decides (equal scores: torch.topk leaves the order open), the file's metadata says so.
A fixture in which some token's experts were chosen by a hair is refused: the two sides could rightly differ.
"""
import json
import pathlib
import sys

import numpy as np
import reference_deepseek
import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 64
# Scores that differ by less could be ordered differently in float32.
MARGIN = 2e-5
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 40.0, "original_max_position_embeddings": 64,
        "beta_fast": 4.0, "beta_slow": 1.0}

COMMON = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, rms_norm_eps=1e-6,
              max_position_embeddings=4096, hidden_act="silu", tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)
MLA = COMMON | dict(num_key_value_heads=4, intermediate_size=40, moe_intermediate_size=24, n_routed_experts=8,
                    num_experts_per_tok=3, n_shared_experts=2, first_k_dense_replace=1, num_hidden_layers=3,
                    kv_lora_rank=24, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=20, q_lora_rank=28)

# name: (class, settings, dtype of the weights, tokens, how). Of `how`:
#   bias   spread of e_score_correction_bias around -0.7: biased scores are negative, so that masking with 0 shows
#   ties   routers with equal rows; the numpy reference decides
#   fp8    matrices as F8_E4M3 with a float32 factor per 128x128 block
#   mtp    tensors of a multi-token-prediction layer behind the last one, which nobody may read
#   stacked  experts of a layer in one tensor, as transformers 5 holds them
FIXTURES = {
    "deepseek_v2_lite": ("DeepseekV2", MLA | dict(
        q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1, routed_scaling_factor=1.0, norm_topk_prob=False,
        rope_parameters=YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}), "f16", 96, {}),
    "deepseek_v2_groups": ("DeepseekV2", MLA | dict(
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=16.0, norm_topk_prob=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), "bf16", 40, {}),
    "deepseek_v3": ("DeepseekV3", MLA | dict(
        n_group=4, topk_group=2, routed_scaling_factor=2.5, norm_topk_prob=True, num_nextn_predict_layers=1,
        rope_parameters=YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}), "bf16", 96, {"bias": 0.2, "mtp": True}),
    "deepseek_v3_mscale": ("DeepseekV3", MLA | dict(  # cos and sin have a size of their own
        q_lora_rank=None, n_group=1, topk_group=1, routed_scaling_factor=1.5, norm_topk_prob=True, n_shared_experts=1,
        rope_parameters=YARN | {"factor": 8.0, "mscale": 1.0, "mscale_all_dim": 0.5}), "bf16", 80,
        {"bias": 0.2, "stacked": True}),
    "deepseek_v3_ties": ("DeepseekV3", MLA | dict(
        n_group=2, topk_group=1, routed_scaling_factor=2.5, norm_topk_prob=True, num_hidden_layers=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), "f32", 24, {"bias": 0.2, "ties": True}),
    "deepseek_v3_fp8": ("DeepseekV3", MLA | dict(
        hidden_size=136, num_attention_heads=2, num_key_value_heads=2, num_hidden_layers=2, q_lora_rank=130,
        kv_lora_rank=132, qk_nope_head_dim=50, v_head_dim=24, n_routed_experts=3, num_experts_per_tok=2, n_group=1,
        topk_group=1, intermediate_size=140, moe_intermediate_size=132, n_shared_experts=1, routed_scaling_factor=2.5,
        norm_topk_prob=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), "bf16", 16,
        {"bias": 0.2, "fp8": True}),
    "llama3": ("Llama", COMMON | dict(
        num_key_value_heads=2, intermediate_size=56, head_dim=16,
        rope_parameters={"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64}), "bf16", 96, {}),
    "llama_tied": ("Llama", COMMON | dict(
        num_attention_heads=3, num_key_value_heads=1, hidden_size=36, intermediate_size=44, tie_word_embeddings=True,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), "f16", 40, {}),
    "mixtral": ("Mixtral", COMMON | dict(
        num_key_value_heads=2, intermediate_size=40, num_local_experts=4, num_experts_per_tok=2, sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "bf16", 40, {}),
    "qwen2": ("Qwen2", COMMON | dict(
        num_key_value_heads=2, intermediate_size=48, tie_word_embeddings=True, use_sliding_window=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "bf16", 40, {}),
    "qwen3_moe": ("Qwen3Moe", COMMON | dict(
        num_key_value_heads=2, head_dim=12, intermediate_size=40, moe_intermediate_size=20, num_experts=8,
        num_experts_per_tok=3, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], use_sliding_window=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "bf16", 40, {}),
}


def random_weights(model, dtype, how, generator):
    """Matrices that keep the size of what they multiply, norms around 1; values that `dtype` holds exactly."""
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if "inv_freq" in name:
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("e_score_correction_bias"):
                value = -0.7 + how["bias"] * noise
            elif "norm" in name:
                value = 1 + 0.2 * noise
            elif name.endswith(".bias"):
                value = 0.5 * noise
            elif "embed_tokens" in name:
                value = noise * (0.4 if model.config.tie_word_embeddings else 1)
            else:
                value = noise * 1.4 * tensor.shape[-1] ** -0.5
            if how.get("ties") and name.endswith("mlp.gate.weight"):
                # Within and across groups, and at the edge of the choice.
                for a, b in ((1, 0), (3, 0), (2, 5), (7, 5), (6, 4)):
                    value[a] = value[b]
            if how.get("ties") and name.endswith("e_score_correction_bias"):
                value = torch.full_like(value, -0.7)
            keep = dtype if tensor.dim() > 1 and not name.endswith("mlp.gate.weight") else torch.float32
            tensor.copy_(value.to(keep).to(torch.float32))


def fp8(tensor):
    """[rows, columns] -> (float8 values, float32 factor per block); blocks at the edges are smaller."""
    rows, columns = tensor.shape
    factors = torch.empty((rows + 127) // 128, (columns + 127) // 128)
    values = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    for i in range(factors.shape[0]):
        for j in range(factors.shape[1]):
            at = (slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128))
            factors[i, j] = tensor[at].abs().max() / 448
            values[at] = (tensor[at] / factors[i, j]).to(torch.float8_e4m3fn)
    return values, factors


def back_from_fp8(values, factors):
    spread = factors.repeat_interleave(128, 0)[: values.shape[0]].repeat_interleave(128, 1)[:, : values.shape[1]]
    return values.to(torch.float32) * spread


def published_names(model, stacked):
    """Tensors under the names published files have: experts one by one, unless `stacked`."""
    out = {}
    for name, tensor in model.state_dict().items():
        if "inv_freq" in name or (model.config.tie_word_embeddings and name == "lm_head.weight"):
            continue
        mixtral = model.config.model_type == "mixtral"
        if mixtral:
            name = name.replace(".mlp.", ".block_sparse_moe.")
        parts = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        if name.endswith("experts.gate_up_proj") and not stacked:
            base = name[: -len("gate_up_proj")]
            for e in range(tensor.shape[0]):
                out[f"{base}{e}.{parts[0]}.weight"], out[f"{base}{e}.{parts[1]}.weight"] = tensor[e].chunk(2, 0)
        elif name.endswith("experts.down_proj") and not stacked:
            for e in range(tensor.shape[0]):
                out[f"{name[: -len('down_proj')]}{e}.{parts[2]}.weight"] = tensor[e]
        else:
            out[name] = tensor
    return {name: tensor.clone().contiguous() for name, tensor in out.items()}


def is_matrix(name, tensor):
    return tensor.dim() > 1 and not name.endswith("gate.weight")


def to_fp8(model):
    """What the file stores, and the model with the values that come back."""
    stored, values = {}, {}
    for name, tensor in published_names(model, False).items():
        if is_matrix(name, tensor) and "embed_tokens" not in name and "lm_head" not in name:
            stored[name], stored[name + "_scale_inv"] = fp8(tensor)
            values[name] = back_from_fp8(stored[name], stored[name + "_scale_inv"])
        else:
            stored[name] = tensor.to(torch.bfloat16) if is_matrix(name, tensor) else tensor
            values[name] = tensor
    state = model.state_dict()
    for name in state:
        if name in values:
            state[name].copy_(values[name])
        elif name.endswith("experts.gate_up_proj"):
            base = name[: -len("gate_up_proj")]
            for e in range(state[name].shape[0]):
                both = [values[f"{base}{e}.{part}_proj.weight"] for part in ("gate", "up")]
                state[name][e].copy_(torch.cat(both))
        elif name.endswith("experts.down_proj"):
            for e in range(state[name].shape[0]):
                state[name][e].copy_(values[f"{name[: -len('down_proj')]}{e}.down_proj.weight"])
    return stored, values


def make(name, folder, seed):
    kind, settings, dtype_name, count, how = FIXTURES[name]
    dtype = DTYPES[dtype_name]
    config = getattr(transformers, kind + "Config")(**settings)
    config._attn_implementation = "eager"
    model = getattr(transformers, kind + "ForCausalLM")(config).eval().float()
    generator = torch.Generator().manual_seed(seed)
    random_weights(model, dtype, how, generator)
    if how.get("fp8"):
        with torch.no_grad():
            stored, values = to_fp8(model)
    else:
        values = published_names(model, False)
        stored = {n: t.to(dtype) if is_matrix(n, t) else t for n, t in published_names(model, how.get("stacked")).items()}
    tokens = torch.randint(0, VOCABULARY, (count,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float().numpy()

    document = {k: v for k, v in config.to_dict().items()
                if k in settings or k in ("model_type", "topk_method", "scoring_func", "head_dim", "num_local_experts")}
    if kind.startswith("Deepseek"):
        document.pop("num_local_experts", None)  # another name for n_routed_experts
    document["num_hidden_layers"] = settings["num_hidden_layers"]
    reference = f"transformers {transformers.__version__}, float32"
    if kind.startswith("Deepseek"):
        margins = []
        judged = reference_deepseek.forward(document, {n: t.numpy() for n, t in values.items()}, tokens.numpy(), margins)
        difference = np.abs(judged - logits).max(1) / np.abs(judged).max(1)
        if how.get("ties"):
            reference = "tools/reference_deepseek.py, float64: equal scores are taken by the lowest expert, which torch.topk leaves open"
            logits = judged.astype(np.float32)
        else:
            assert min(margins) > MARGIN, f"{name}: experts chosen by {min(margins):.1e}; another seed"
            assert difference.max() < 2e-5, f"{name}: the two references differ by {difference.max():.1e}"
            reference += f"; tools/reference_deepseek.py agrees to {difference.max():.0e}"
        print(f"{name}: references differ by {difference.max():.1e}, smallest margin {min(margins):.1e}")
    elif kind in ("Mixtral", "Qwen3Moe"):
        margin = margin_of_routers(model, tokens)
        assert margin > MARGIN, f"{name}: experts chosen by {margin:.1e}; another seed"

    if how.get("mtp"):
        last = settings["num_hidden_layers"]
        stored[f"model.layers.{last}.enorm.weight"] = torch.full((settings["hidden_size"],), float("nan"))
        stored[f"model.layers.{last}.eh_proj.weight"] = torch.full((settings["hidden_size"], 2), float("nan"))
    if how.get("fp8"):
        document["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                           "weight_block_size": [128, 128]}
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"tokens": tokens.to(torch.int32), "logits": torch.from_numpy(logits)}, folder / "expected.safetensors",
              metadata={"reference": reference, "seed": str(seed)})


def margin_of_routers(model, tokens):
    margins = []
    used = model.config.num_experts_per_tok

    def look(_, inputs, __):
        logits = torch.nn.functional.linear(inputs[0].reshape(-1, inputs[0].shape[-1]), _.weight)
        ordered = torch.sort(torch.softmax(logits, -1), descending=True).values
        margins.append((ordered[:, used - 1] - ordered[:, used]).min().item())

    hooks = [module.register_forward_hook(look) for n, module in model.named_modules() if n.endswith("mlp.gate")]
    assert hooks
    with torch.no_grad():
        model(tokens[None])
    for hook in hooks:
        hook.remove()
    return min(margins)


def main(folder, wanted):
    torch.set_num_threads(1)
    for name in wanted or FIXTURES:
        for seed in range(1, 40):  # the first seed whose experts are clearly chosen
            try:
                make(name, folder, seed)
                break
            except AssertionError as refused:
                if "another seed" not in str(refused):
                    raise
        else:
            raise SystemExit(f"{name}: no seed")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
