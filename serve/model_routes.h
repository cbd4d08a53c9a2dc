// The paths of a local model: OpenAI's, Ollama's, /metrics and /healthz.
#pragma once

#include "serve/generation.h"
#include "serve/http/server.h"
#include "serve/router.h"

namespace vitrine::serve {

struct ModelInfo {
  std::string name;  // as clients call it; "name:latest" is the same
  std::vector<std::string> aliases;
  std::string path;
  uint64_t bytes = 0;        // of the files
  int64_t modified = 0;      // seconds since 1970
  std::string quantization;  // "Q4_K" …: of most weights
  std::string digest;        // hex; of the files' head, to tell models apart
  std::string version;       // of vitrine
};

// Borrows all; they outlive the router.
void add_model_routes(Router& router, GenerationContext& context, const ModelInfo& model);
// /healthz (open) and /metrics (key), which answer whatever the router refuses. `server` may be null until it listens.
// `trouble` says why requests are refused now, or "".
void add_service_routes(Router& router, EngineService* service, const HttpServer* const& server,
                        std::function<std::string()> trouble = {}, std::function<std::string()> more_metrics = {});

// A line of /metrics with its heads; `name` without "vitrine_".
void append_metric(std::string& out, std::string_view name, std::string_view kind, std::string_view help, double value);

}  // namespace vitrine::serve
