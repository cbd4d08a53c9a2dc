// One function per command: registers its options on `app`, and its work as a
// callback that leaves the exit code in `exit_code`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/pipeline/input.h"
#include "cli/output.h"

namespace vitrine::cli {

// 0 nothing at or above --fail-on; 1 findings; 2 usage; 3 nothing readable; 4 internal error.
enum ExitCode : int { kOk = 0, kFindings = 1, kUsage = 2, kUnreadable = 3, kInternal = 4 };
int exit_code_of(const Error& error);
// Prints "vitrine: …" to stderr and gives the exit code.
int report_error(const Error& error);

// Whether to colour what goes to this descriptor: a terminal, and NO_COLOR (no-color.org) not set to anything.
bool shows_colour(int descriptor);

void add_record(CLI::App& app, int& exit_code);
void add_exchanges(CLI::App& app, int& exit_code);
void add_fields(CLI::App& app, int& exit_code);
void add_audit(CLI::App& app, int& exit_code);
void add_origin(CLI::App& app, int& exit_code);
void add_policy(CLI::App& app, int& exit_code);
void add_model(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_chat(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
// `serve … --config FILE`: the file's options behind those of the command line, but for those given there.
// Throws CLI::FileError, as CLI::App::parse() does.
std::vector<std::string> with_config(std::vector<std::string> arguments);

// Options of every command that reads recordings.
struct InputFlags {
  std::vector<std::string> paths;
  std::vector<std::string> key_logs;
  unsigned threads = 0;  // 0 = all cores
  bool ignore_embedded_secrets = false;
  bool quiet = false;

  void add_to(CLI::App& command, bool many);
  InputOptions options() const;
};

// A progress bar on stderr for work over a second; silent when stderr is no
// terminal or --quiet is set.
class ProgressBar {
 public:
  // The rate is shown in `unit`, of `per_unit` of what update() counts.
  ProgressBar(std::string title, bool quiet, std::string unit = "MB/s", double per_unit = 1e6);
  ~ProgressBar();
  void update(uint64_t done, uint64_t total);

 private:
  std::string title_, unit_;
  double per_unit_;
  bool enabled_;
  bool drawn_ = false;
  double start_;
  double last_ = 0;
};

// Counted issues as warnings on stderr: what was skipped, where, how often.
void print_issues(const IssueLog& issues, const std::string& path, bool quiet);

// Where shipped data (policies/, examples/) lies: --data, $VITRINE_DATA, beside
// the program, the installation prefix, or the source tree it was built from.
Result<std::string> data_folder(const std::string& from_flag);

}  // namespace vitrine::cli
