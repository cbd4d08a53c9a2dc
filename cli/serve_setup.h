// What `vitrine serve` is asked for, and what it is made of before it listens.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "serve/access.h"
#include "serve/gateway.h"
#include "serve/http/server.h"
#include "serve/model_routes.h"

namespace vitrine::cli {

struct ServeFlags {
  ModelFlags model;
  std::string listen = "127.0.0.1:11434";
  std::string certificate, key;
  std::string key_file;
  bool insecure = false;
  std::vector<std::string> hosts, origins, aliases;
  std::string name, chat_template;
  int64_t sequences = 8, cache_tokens = 0, step_tokens = 256;
  size_t waiting = 256, connections = 4096;
  uint64_t body_mb = 32;
  std::string tap, tap_content = "full";
  bool tap_append = false;
  std::string padding = "auto";
  bool no_lockdown = false;
  std::string upstream, upstream_key, upstream_ca;
  std::string config;  // read before the command line is, by with_config()
  bool no_page = false;
};

// Serves until a signal ends it; the exit code.
int run_serve(const ServeFlags& flags);

// Where to listen; usage when others could reach it without keys and TLS, and nobody said --insecure.
Result<serve::ListenOptions> listen_options(const ServeFlags& flags);
bool is_loopback(const std::string& address);

// Of --api-keys; none without it. usage: a file without keys.
Result<std::vector<serve::ApiKey>> load_keys(const std::string& path);

Result<LoadedModel> load_model(const ServeFlags& flags);
serve::ModelInfo describe_model(const ServeFlags& flags, const Engine& engine);

// An engine elsewhere.
struct Behind {
  std::set<std::string> addresses;  // "192.0.2.7:443": of --upstream, found out once
  std::unique_ptr<serve::Connector> connector;
  std::unique_ptr<serve::Gateway> gateway;

  void append_metrics(std::string& out) const;
};

// Forks: REQUIRES that no other thread runs yet.
Result<Behind> open_upstream(const ServeFlags& flags, boost::asio::io_context& io);

}  // namespace vitrine::cli
