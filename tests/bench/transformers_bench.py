#!/usr/bin/env python3
"""Decoding one sequence with transformers, for `./dev gpu`: the model gpu_bench measures as "v2-lite bf16", in the
same shape with random weights, BF16, a context of 512. Prints a line of JSON with raw samples and a row of the table;
with --log, how many times faster gpu_bench was. Says "skipped: ..." and ends well where torch, transformers or a GPU is
missing. --small --device cpu tries the script anywhere."""
import argparse
import json
import statistics
import time


def v2_lite(small):
    shape = dict(vocab_size=102400, hidden_size=2048, intermediate_size=10944, moe_intermediate_size=1408,
                 num_hidden_layers=27, num_attention_heads=16, num_key_value_heads=16, n_shared_experts=2,
                 n_routed_experts=64, num_experts_per_tok=6, first_k_dense_replace=1, q_lora_rank=None,
                 kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, norm_topk_prob=False,
                 routed_scaling_factor=1.0, topk_method="greedy", n_group=1, topk_group=1,
                 max_position_embeddings=4096, tie_word_embeddings=False)
    if small:
        shape.update(vocab_size=1024, hidden_size=128, intermediate_size=256, moe_intermediate_size=64,
                     num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, n_routed_experts=8)
    return shape


def decode(model, torch, context, steps, device):
    """Seconds of each step behind a prompt of `context` tokens; the first steps are not counted."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    vocabulary = model.config.vocab_size
    prompt = torch.tensor([[300 + i * 7919 % (vocabulary - 400) for i in range(context)]], device=device)
    seconds = []
    with torch.inference_mode():
        out = model(prompt, use_cache=True)
        for step in range(-5, steps):
            token = out.logits[:, -1:].argmax(-1)
            wait()
            begin = time.perf_counter()
            out = model(token, past_key_values=out.past_key_values, use_cache=True)
            out.logits[:, -1:].argmax(-1)
            wait()
            if step >= 0:
                seconds.append(time.perf_counter() - begin)
    return seconds


def ours(log):
    """The median of gpu_bench's steps, from its lines of JSON."""
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("{") and '"v2-lite bf16"' in line and '"step_s"' in line:
                measured = json.loads(line)
                if measured.get("batch") == 1:
                    return statistics.median(measured["step_s"])
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--log")
    options = parser.parse_args()
    try:
        import torch
        import transformers
        from transformers import DeepseekV2Config, DeepseekV2ForCausalLM
    except ImportError as error:
        return print(f"skipped: transformers cannot be compared here ({error})")
    if options.device == "cuda" and not torch.cuda.is_available():
        return print("skipped: torch finds no GPU")
    torch.manual_seed(1)
    begin = time.perf_counter()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(options.device):
        model = DeepseekV2ForCausalLM(DeepseekV2Config(**v2_lite(options.small))).eval()
    loaded = time.perf_counter() - begin
    seconds = decode(model, torch, 64 if options.small else 512, options.steps, options.device)
    step = statistics.median(seconds)
    print(json.dumps({"model": "v2-lite bf16", "program": f"transformers {transformers.__version__}, torch {torch.__version__}",
                      "batch": 1, "load_s": loaded, "step_s": seconds}))
    name = "transformers, a small shape" if options.small else f"transformers {transformers.__version__}, v2-lite bf16, batch 1"
    print(f"| {name} | {1 / step:.1f} tokens/s |  |  |  |")
    mine = ours(options.log) if options.log else None
    if mine and not options.small:
        print(f"|   vitrine over transformers | {step / mine:.1f}x |  | 10x |  |")


main()
