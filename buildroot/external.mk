include $(sort $(wildcard $(BR2_EXTERNAL_BRACKUP_PATH)/package/*/*.mk))
