#include "cmd_learn/fitting.h"

#include <fmt/format.h>

#include <system_error>

namespace nidus::cmd {

Checkpoints::Checkpoints(const TrainArguments& given)
    : on_(!given.no_checkpoint), beside_((std::filesystem::path(given.output) / "").parent_path().string()) {
  if (const auto parent = std::filesystem::path(beside_).parent_path(); on_ && !parent.empty()) {
    std::error_code ignored;  // whoever cannot write there is told so when the file is opened
    std::filesystem::create_directories(parent, ignored);
  }
}

std::string Checkpoints::file(std::string_view of) {
  if (!on_) return "";
  files_.push_back(fmt::format("{}.{}.checkpoint", beside_, of));
  return files_.back();
}

void Checkpoints::remove() const {
  std::error_code ignored;
  for (const auto& file : files_) std::filesystem::remove(file, ignored);
}

learn::Progress progress_of(ProgressBar& bar) {
  return [&bar](double fraction) {
    bar.show(fraction);
    return !interrupted();
  };
}

void say_where_it_stands(const std::filesystem::path& checkpoint) {
  if (!interrupted() || checkpoint.empty()) return;
  say(fmt::format("stopped; what is done stands in {}: the same command goes on from there",
                  checkpoint.string()));
}

Result<Learnt> fit(const Lesson& lesson) {
  Learnt out;
  const auto fit_family = lesson.given.model == "ensemble" && !lesson.given.members.empty() ? fit_ensemble
                          : is_network(lesson.given.model)                                  ? fit_networks
                          : is_of_benign_rows(lesson.given.model)                           ? fit_anomaly
                                                                                            : fit_trees;
  if (auto done = fit_family(lesson, out); !done) return std::move(done).error();
  return out;
}

}  // namespace nidus::cmd
