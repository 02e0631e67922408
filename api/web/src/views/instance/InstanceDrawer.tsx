import { Drawer } from "antd";

/** An instance over whatever is shown; its id is in the address. */
export default function InstanceDrawer({ id, close }: { id: string; close: () => void }) {
  return <Drawer open onClose={close} size={960} title={id} />;
}
