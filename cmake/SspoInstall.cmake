# Installs the library, its headers, and what find_package(sspo) and pkg-config need.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sspo)
install(TARGETS sspo EXPORT sspo-targets FILE_SET HEADERS FILE_SET opt_in)
install(EXPORT sspo-targets NAMESPACE sspo:: DESTINATION ${package_dir})
configure_package_config_file(cmake/sspo-config.cmake.in ${PROJECT_BINARY_DIR}/sspo-config.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sspo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sspo-config.cmake ${PROJECT_BINARY_DIR}/sspo-config-version.cmake
        DESTINATION ${package_dir})

# The prefix is found from where the file lies, so an installed tree can be moved.
set(pc_dir ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix ${pc_dir} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
set(pc_openmp "")
if(SSPO_OPENMP)
  set(pc_openmp "${OpenMP_CXX_FLAGS} ")
endif()
set(pc_models "")
if(SSPO_MODELS)
  set(pc_models "-lutf8proc -lcrypto -ljpeg -lz ")
  foreach(library IN LISTS SSPO_FILE_LIBRARIES)
    string(APPEND pc_models "-l${library} ")
  endforeach()
endif()
configure_file(cmake/sspo.pc.in ${PROJECT_BINARY_DIR}/sspo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sspo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
