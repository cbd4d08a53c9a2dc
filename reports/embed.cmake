# Writes ${OUTPUT}: embedded_files(), the content of each of ${FILES} under its
# path relative to ${FOLDER}. Called by reports/CMakeLists.txt.
set(code "#include \"reports/embedded.h\"\n\nnamespace vitrine {\nnamespace {\n\nconstexpr EmbeddedFile kFiles[] = {\n")
foreach(file ${FILES})
  file(READ ${file} content)
  file(RELATIVE_PATH name ${FOLDER} ${file})
  string(APPEND code "    {\"${name}\", R\"embedded(${content})embedded\"},\n")
endforeach()
string(APPEND code "};\n\n}  // namespace\n\nstd::span<const EmbeddedFile> embedded_files() { return kFiles; }\n\n}  // namespace vitrine\n")
file(WRITE ${OUTPUT} "${code}")
