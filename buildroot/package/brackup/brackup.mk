################################################################################
#
# brackup
#
################################################################################

BRACKUP_VERSION = 0.1.0
# The tree that this folder is in.
BRACKUP_SITE = $(BR2_EXTERNAL_BRACKUP_PATH)/..
BRACKUP_SITE_METHOD = local
BRACKUP_LICENSE = Apache-2.0 or MIT
BRACKUP_LICENSE_FILES = LICENSE-APACHE LICENSE-MIT

# What cargo has made in the tree is gigabytes, and of no use here.
BRACKUP_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude=/target
# legal-info copies the tree too, and knows nothing of the line above.
brackup-legal-info: RSYNC_VCS_EXCLUSIONS += --exclude=/target

BRACKUP_DATA = $(call qstrip,$(BR2_PACKAGE_BRACKUP_DATA))

ifeq ($(BR2_PACKAGE_BRACKUP_CARGO),y)

# Buildroot sets these from its own options for all packages. They are what
# Cargo.toml says; what Cargo.toml says of single crates holds anyway.
BRACKUP_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s \
	CARGO_PROFILE_RELEASE_LTO=fat \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1

# Without completions, manual pages, the bar on terminals, bench, restore-test, mount, rebuild, alerts by mail and the words of the original. Both lines are needed: a build, and an
# installation that builds again if it is told something else.
BRACKUP_CARGO_BUILD_OPTS = --no-default-features --features brackup,gdrive,s3,web,webdav
BRACKUP_CARGO_INSTALL_OPTS = --no-default-features --features brackup,gdrive,s3,web,webdav

# Buildroot vendors crates when it downloads a package; a local one it does
# not download. The tree has a .cargo/config.toml of its own, which has to
# stay: so the sources of the crates are added to it. A tree in which that
# was done beforehand is left as it is, and needs no network.
define BRACKUP_VENDOR
	cd $(@D) && \
	if ! grep -q vendored-sources .cargo/config.toml; then \
		mkdir -p $(BR_CARGO_HOME) && \
		$(TARGET_MAKE_ENV) $(PKG_CARGO_ENV) \
			flock $(BR_CARGO_HOME)/.br-lock \
			cargo vendor --locked VENDOR > .vendored && \
		cat .vendored >> .cargo/config.toml; \
	fi
endef
BRACKUP_PRE_BUILD_HOOKS += BRACKUP_VENDOR

else

BRACKUP_BINARY = $(call qstrip,$(BR2_PACKAGE_BRACKUP_BINARY))

ifeq ($(BR2_PACKAGE_BRACKUP)$(BR_BUILDING),yy)
ifeq ($(BRACKUP_BINARY),)
$(error BR2_PACKAGE_BRACKUP_BINARY is empty: brackup has no prebuilt binary for this target)
endif
endif

# Whether it is for this machine is checked by Buildroot, as of all programs.
define BRACKUP_INSTALL_TARGET_CMDS
	@test -f $(BRACKUP_BINARY) || { \
		echo "ERROR: there is no $(BRACKUP_BINARY): make it with cross/build, or set BR2_PACKAGE_BRACKUP_BINARY" >&2; \
		exit 1; \
	}
	$(INSTALL) -D -m 0755 $(BRACKUP_BINARY) $(TARGET_DIR)/usr/bin/brackup
endef

endif

define BRACKUP_INSTALL_CONFIGURATION
	$(INSTALL) -D -m 0640 $(BRACKUP_PKGDIR)/brackup.conf \
		$(TARGET_DIR)/etc/brackup/brackup.conf
	$(SED) 's|/mnt/data|$(BRACKUP_DATA)|g' \
		$(TARGET_DIR)/etc/brackup/brackup.conf
	$(INSTALL) -d -m 0700 $(TARGET_DIR)/etc/brackup/keys
	$(INSTALL) -d -m 0755 $(TARGET_DIR)$(BRACKUP_DATA)
endef
BRACKUP_POST_INSTALL_TARGET_HOOKS += BRACKUP_INSTALL_CONFIGURATION

# A prebuilt program may have the words of the original: it carries the help for each, which begins with
# its name and a blank (brackup-target.id is in every program).
define BRACKUP_INSTALL_LINKS
	for name in mount restore target verify-chunks verify-inventory; do \
		if grep -q "brackup-$$name " $(TARGET_DIR)/usr/bin/brackup; then \
			ln -sf brackup $(TARGET_DIR)/usr/bin/brackup-$$name; \
		fi; \
	done
endef
BRACKUP_POST_INSTALL_TARGET_HOOKS += BRACKUP_INSTALL_LINKS

define BRACKUP_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(BRACKUP_PKGDIR)/S99brackup \
		$(TARGET_DIR)/etc/init.d/S99brackup
	$(INSTALL) -D -m 0644 $(@D)/dist/common/background.sh \
		$(TARGET_DIR)/usr/share/brackup/background.sh
	$(INSTALL) -D -m 0644 $(BRACKUP_PKGDIR)/brackup.default \
		$(TARGET_DIR)/etc/default/brackup
	$(SED) 's|/mnt/data|$(BRACKUP_DATA)|g' \
		$(TARGET_DIR)/etc/default/brackup
endef

define BRACKUP_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(BRACKUP_PKGDIR)/brackup.service \
		$(TARGET_DIR)/usr/lib/systemd/system/brackup.service
	$(SED) 's|/mnt/data|$(BRACKUP_DATA)|g' \
		$(TARGET_DIR)/usr/lib/systemd/system/brackup.service
endef

# A fixed number: files on the data disk outlive the image, and a number that
# Buildroot chooses depends on what else is in it.
define BRACKUP_USERS
	brackup 918 brackup 918 * - - - backup service
endef

# The user brackup has to read all files that it backs up. systemd gives it
# the capability; else the program has it, and nobody but the service and
# root may run it.
define BRACKUP_PERMISSIONS
	/etc/brackup d 0750 root brackup - - - - -
	/etc/brackup/brackup.conf f 0640 root brackup - - - - -
	/etc/brackup/keys d 0700 brackup brackup - - - - -
	$(if $(BR2_INIT_SYSTEMD),,\
		/usr/bin/brackup f 0750 root brackup - - - - -
		|xattr cap_dac_read_search+ep)
endef

ifeq ($(BR2_PACKAGE_BRACKUP_CARGO),y)
$(eval $(cargo-package))
else
$(eval $(generic-package))
endif
