// `vitrine serve`: a local model for any OpenAI or Ollama client, everything a client transmits on record.
#include <algorithm>

#include "cli/commands.h"
#include "cli/serve_setup.h"

namespace vitrine::cli {

std::vector<std::string> with_config(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments.front() != "serve") return arguments;
  std::string path;
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) path = arguments[i + 1];
    if (arguments[i].starts_with("--config=")) path = arguments[i].substr(9);
  }
  if (path.empty()) return arguments;
  const auto given = [&](const std::string& name) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
      return argument == "--" + name || argument.starts_with("--" + name + "=") ||
             (name == "model" && argument.starts_with("-m"));
    });
  };
  std::vector<std::string> from_file;
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
    if (given(item.name)) continue;
    for (const std::string& value : item.inputs) from_file.push_back("--" + item.name + "=" + value);
  }
  arguments.insert(arguments.end(), from_file.begin(), from_file.end());
  return arguments;
}

void add_serve(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "a local model for any OpenAI or Ollama client");
  flags->model.add_to(*command);
  command->get_option("--model")->required(false);
  command
      ->add_option("--upstream", flags->upstream,
                   "an engine elsewhere in place of a model here: tap, keys and page in front of it")
      ->type_name("URL");
  command->add_option("--upstream-key", flags->upstream_key, "file with the key it asks for; clients' keys stay here")
      ->type_name("FILE");
  command
      ->add_option("--upstream-ca", flags->upstream_ca,
                   "PEM certificates that https is checked against (default: the system's)")
      ->type_name("FILE");
  command->add_option("--listen", flags->listen, "address and port; port 0: any free one")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  command->add_option("--name", flags->name, "what clients call the model (default: from the file)");
  command->add_option("--alias", flags->aliases, "another name for it; repeatable");
  command->add_option("--chat-template", flags->chat_template, "Jinja file in place of the model's own")
      ->type_name("FILE");
  command->add_option("--sequences", flags->sequences, "answers computed at the same time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--cache-tokens", flags->cache_tokens,
                   "room for all sequences together (default: a context for each, within a quarter of the memory)")
      ->check(CLI::PositiveNumber);
  command->add_option("--step-tokens", flags->step_tokens, "prompts are read in chunks of at most this")
      ->check(CLI::Range(16, 8192))
      ->capture_default_str();
  command->add_option("--queue", flags->waiting, "requests that may wait; more are told to come back (429)")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--connections", flags->connections, "open at a time")
      ->check(CLI::Range(1, 60000))
      ->capture_default_str();
  command->add_option("--max-body", flags->body_mb, "MiB of one request")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--api-keys", flags->key_file, "file with one \"NAME KEY\" a line; SIGHUP reads it again")
      ->type_name("FILE");
  command->add_option("--tls-cert", flags->certificate, "PEM certificate chain")->type_name("FILE");
  command->add_option("--tls-key", flags->key, "its PEM key")->type_name("FILE");
  command->add_flag("--insecure", flags->insecure, "listen beyond this machine without keys or TLS");
  command->add_option("--allow-host", flags->hosts, "a name this server goes by; repeatable");
  command->add_option("--allow-origin", flags->origins,
                      "a page elsewhere that may call, as https://app.example; repeatable");
  command->add_option("--tap", flags->tap, "exchange log of everything clients transmit, for vitrine audit")
      ->type_name("FILE");
  command->add_option("--tap-content", flags->tap_content, "how much of prompts and answers it keeps")
      ->check(CLI::IsMember({"none", "hash", "full"}))
      ->capture_default_str();
  command->add_flag("--tap-append", flags->tap_append, "go on with a log that is there");
  command->add_option("--padding", flags->padding, "streams in records of one size, so that token lengths do not show")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command->add_flag("--no-lockdown", flags->no_lockdown,
                    "without the filter that keeps this process from connecting anywhere");
  command->add_flag("--no-page", flags->no_page, "no page at / (and, without --tap, no tap)");
  command->footer(
      "Examples:\n"
      "  vitrine serve -m model.gguf --tap tap.ndjson\n"
      "  curl http://127.0.0.1:11434/v1/models\n"
      "  OLLAMA_HOST=127.0.0.1:11434 ollama run NAME\n"
      "  vitrine audit tap.ndjson --rules no-egress\n"
      "  vitrine serve --upstream http://gpu.internal:8000 --api-keys keys.txt --tap tap.ndjson\n"
      "Ctrl-C finishes what is under way; a second one cuts it short. SIGHUP reads --api-keys again, and goes on in a\n"
      "new log when the old one was renamed. While the log cannot be written, requests are answered 503.\n"
      "Loopback unless --listen says otherwise; other addresses need --api-keys and TLS.");
  command
      ->add_option("--config", flags->config,
                   "TOML file with any of these options by its long name; what the command line says wins")
      ->type_name("FILE");
  command->callback([flags, &exit_code] { exit_code = run_serve(*flags); });
}

}  // namespace vitrine::cli
