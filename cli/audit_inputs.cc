#include "cli/audit_inputs.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "cli/commands.h"

namespace vitrine::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> yaml_files(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file() && entry.path().extension() == ".yaml") out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

Status load_rules(const std::string& folder, const Taxonomy& taxonomy, std::vector<RuleFile>& out) {
  for (const std::string& path : yaml_files(folder)) {
    if (fs::path(path).filename() == "regions.yaml") continue;
    Result<std::string> text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    Result<RuleFile> rules = parse_rules(*text, path, taxonomy);
    if (!rules) return tl::unexpected(rules.error());
    out.push_back(std::move(*rules));
  }
  return {};
}

Status load_folder(const std::string& folder, const Taxonomy& taxonomy, AuditInputs& inputs) {
  if (fs::is_directory(folder + "/vendors")) {
    Result<std::vector<Policy>> policies = load_policies(folder + "/vendors", taxonomy);
    if (!policies) return tl::unexpected(policies.error());
    std::move(policies->begin(), policies->end(), std::back_inserter(inputs.policies));
  }
  for (const std::string& path : yaml_files(folder + "/recipients")) {
    Result<std::string> text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    if (const Status added = inputs.recipients.add(*text, path); !added) return added;
  }
  for (const char* kind : {"/laws", "/org"}) {
    if (const Status loaded = load_rules(folder + kind, taxonomy, inputs.rules); !loaded) return loaded;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadedPolicies>> load_policies_for(const PolicyFlags& flags) {
  const Result<std::string> data = data_folder(flags.data);
  if (!data) return tl::unexpected(data.error());
  auto out = std::make_unique<LoadedPolicies>();
  Result<std::unique_ptr<Knowledge>> knowledge = load_knowledge(*data, flags.folders);
  if (!knowledge) return tl::unexpected(knowledge.error());
  out->knowledge = std::move(*knowledge);
  AuditInputs& inputs = out->inputs;
  inputs.taxonomy = &out->knowledge->taxonomy;

  const std::string regions_path = *data + "/policies/laws/regions.yaml";
  Result<std::string> regions = read_file(regions_path);
  if (!regions) return tl::unexpected(regions.error());
  Result<Regions> parsed = Regions::parse(*regions, regions_path);
  if (!parsed) return tl::unexpected(parsed.error());
  inputs.regions = std::move(*parsed);

  std::vector<std::string> folders = {*data + "/policies"};
  folders.insert(folders.end(), flags.folders.begin(), flags.folders.end());
  for (const std::string& folder : folders) {
    if (!fs::is_directory(folder)) return fail(ErrorCode::usage, "no such policy folder", folder);
    if (const Status loaded = load_folder(folder, *inputs.taxonomy, inputs); !loaded)
      return tl::unexpected(loaded.error());
  }
  if (const Status checked = inputs.recipients.check(); !checked) return tl::unexpected(checked.error());
  if (!flags.rule_files.empty()) {
    for (const std::string& id : flags.rule_files) {
      const auto known = [&](const RuleFile& file) { return file.id == id; };
      if (std::none_of(inputs.rules.begin(), inputs.rules.end(), known)) {
        return fail(ErrorCode::usage, "no rule file has this id; `vitrine policy list` shows them", id);
      }
    }
    std::erase_if(inputs.rules, [&](const RuleFile& file) {
      return std::find(flags.rule_files.begin(), flags.rule_files.end(), file.id) == flags.rule_files.end();
    });
  }
  for (const ClientFile& file : out->knowledge->rules.files()) {
    if (!file.generic) inputs.clients.push_back({file.client, file.service.value_or(""), file.platform, file.hosts});
  }
  for (const auto& [path, database] :
       {std::pair(flags.mmdb, &out->ip_countries), std::pair(flags.asn_mmdb, &out->network_owners)}) {
    if (path.empty()) continue;
    Result<CountryDatabase> opened = CountryDatabase::open(path);
    if (!opened) return tl::unexpected(opened.error());
    *database = std::move(*opened);
  }
  if (out->ip_countries) inputs.ip_countries = &*out->ip_countries;
  if (out->network_owners) inputs.network_owners = &*out->network_owners;
  return out;
}

}  // namespace vitrine::cli
